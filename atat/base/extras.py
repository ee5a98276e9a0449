"""Packages that only a part of atat needs: what is missing is said in a sentence, with its extra.

    with extras.needed("espnet", by="audio_encoder.kind espnet"):
        import espnet2

The extras are listed in setup.cfg; `tools/install.sh` installs all of them. Knows nothing of what
the packages are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from atat.base.errors import InputError


@contextmanager
def needed(extra: str, *, by: str) -> Iterator[None]:
    """Turn the ImportError of a package of an extra into an InputError that names the extra.

    by: what needs it, as the user knows it: a key, an option or a kind of thing.
    """
    try:
        yield
    except ImportError as error:
        raise missing(extra, by=by, reason=str(error)) from None


def missing(extra: str, *, by: str, reason: str) -> InputError:
    """What to raise where a package of an extra cannot be imported, for a reason."""
    return InputError(f"{by} needs the extra `{extra}` ({reason}); {how_to_install(extra)}")


def how_to_install(extra: str) -> str:
    """The commands that install an extra, in a checkout and beside an installed atat."""
    return (
        f"install it: tools/install.sh in a checkout of atat, pip install 'atat[{extra}]' "
        "where atat was installed by pip"
    )
