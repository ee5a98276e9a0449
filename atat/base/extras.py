"""Packages that only a part of atat needs: if one is missing, an error names its extra.

    with extras.needed("espnet", by="audio_encoder.kind espnet"):
        import espnet2

The command line reports every missing package of EXTRA_OF in the same way. setup.cfg lists the
extras, tools/install.sh installs all of them. Knows nothing of the packages' use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from atat.base.errors import InputError

# Imported package -> the extra of setup.cfg that installs it; of two extras, the more likely one.
EXTRA_OF = {
    "espnet2": "espnet",
    "kaldiio": "kaldi",
    "omniio": "kaldi-mit",
    "transformers": "bert",
    "onnxruntime": "encoders",
    "starlette": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "jiwer": "train",
    "tensorboard": "train",
    "torchaudio": "espnet",
    "pocketsphinx": "aligners",
    "praatio": "aligners",
    "espeakng_loader": "voices",
    "pycrfsuite": "taggers",
    "matplotlib": "report",
    "jinja2": "report",
    "submitit": "slurm",
}
# pip refuses espnet's dependencies: setup.cfg can list only those that its encoders import.
FURTHER = {"espnet": ", and espnet itself: pip install --no-deps espnet"}


@contextmanager
def needed(extra: str, *, by: str) -> Iterator[None]:
    """Turn the ImportError of a package of an extra into an InputError that names the extra.

    by: what needs it, as the user knows it: a key, an option or a kind of thing.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{by} needs the extra `{extra}` ({error}); {how_to_install(extra)}"
        ) from None


def explain(error: ModuleNotFoundError) -> str | None:
    """What to tell the user if a package of an extra is missing; None for other modules."""
    extra = EXTRA_OF.get((error.name or "").split(".")[0])
    return None if extra is None else f"{error}; {how_to_install(extra)}"


def how_to_install(extra: str) -> str:
    """The command that installs an extra, in a checkout and beside an installed atat."""
    return (
        f"install it: tools/install.sh in a checkout of atat, pip install 'atat[{extra}]' "
        f"where pip installed atat{FURTHER.get(extra, '')}"
    )
