"""Finds a packed model by what a user calls it: a folder, an archive, a name of the hub or a demo.

Every command that takes a packed model takes all of them; those that write into the model's folder
take a folder only.

    exp/joint/model                  a folder
    joint.zip, joint.tar.gz          an archive with a packed model in it, at any depth
    owner/name, hf:owner/name        a model of the Hugging Face hub, from its cache or fetched
    demo:music                       one that comes with the package, in atat/apps/demo

Archives are unpacked once, into the cache (ATAT_CACHE, else ~/.cache/atat), under their digest. Of
an archive only plain files are taken, and no code in a model is run. The hub needs the package
huggingface_hub; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are its own.
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from atat.base import caches, digests, suggest
from atat.base.errors import InputError
from atat.engine.registry import CONFIG

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
HUB = "hf:"
DEMO = "demo:"
MUSIC = f"{DEMO}music"  # that of --demo
# Of each a folder: the model, and something to understand. Data, not code: nothing is imported.
_DEMOS = Path(__file__).parents[1] / "apps" / "demo"
KINDS = "packed model: its folder, an archive of it, a name of the hub or demo:NAME"
_WRITTEN = "packed model: its folder, which is written into"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
VARIABLE = "ATAT_CACHE"  # names the folder of unpacked models
# What the readers of archives raise for damaged ones, besides an OSError without a number.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)
LARGEST = 20 * 2**30  # bytes of an unpacked model: an archive may claim any size


def add_argument(
    parser: argparse.ArgumentParser, *, several: bool = False, written: bool = False
) -> None:
    """Add MODEL to a command, which `--model MODEL` gives, too; one of them is required.

    options.model is what stands there, for `find`; several: a list, of MODEL MODEL ... or of a
    --model for each. written: the command writes into the folder (`to_write`).
    """
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    kinds, action = _WRITTEN if written else KINDS, "store"
    if several:
        kinds, action = f"{kinds}; or several", "append"
    # A default would undo the option, which has the same name; a type would make a value of it.
    none = argparse.SUPPRESS
    add("model", metavar="MODEL", nargs="*" if several else "?", default=none, help=kinds)
    add("--model", metavar="MODEL", action=action, help="the same")


def to_write(model: str | Path, what: str) -> Path:
    """The folder of a packed model into which a command writes.

    Raises InputError for a name that is none of a folder; what: is written, for the message.
    """
    folder = find(model)
    if Path(model).is_dir() or Path(model).name == CONFIG:
        return folder
    raise InputError(
        f"{model}: {what} would be written into the model, and what this name stands for stays as "
        f"it is; copy the model and name the copy: cp -rL {folder} my_model"
    )


def is_named(model: str | Path) -> bool:
    """Whether a model is certainly called by something other than a folder's path."""
    return str(model).startswith((DEMO, HUB)) or Path(model).is_file()


def find(model: str | Path) -> Path:
    """The folder of a packed model; InputError says why there is none."""
    if is_demo(model):
        return demo(str(model).removeprefix(DEMO))
    path = Path(model)
    if path.is_dir():
        return path
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return _unpacked(path)
        if path.name == CONFIG:
            return path.parent
        raise InputError(
            f"{path}: not a packed model: a file, not a folder; expected a folder, or an archive "
            f"of one ({', '.join(ARCHIVES)})"
        )
    name = str(model).removeprefix(HUB)
    # A path that begins with a folder of here is mistyped; the hub need not hear of it.
    sure = str(model).startswith(HUB)
    if not _HUB_NAME.fullmatch(name) or (not sure and path.parent.is_dir()):
        raise InputError(
            f"{model}: not a packed model: no such folder or archive. Training writes one to "
            "exp/<name>/model; a name of the hub is owner/name"
        )
    return _of_hub(name, sure=sure)


def is_demo(model: str | Path) -> bool:
    """Whether a model of the package is meant."""
    return str(model).startswith(DEMO)


def demo(name: str = "music") -> Path:
    """The folder of a model that comes with the package; InputError names those that do."""
    folder = _DEMOS / name / "model"
    if not name.isidentifier() or not folder.is_dir():
        known = sorted(f"{DEMO}{path.parent.name}" for path in _DEMOS.glob("*/model"))
        near = suggest.among(f"{DEMO}{name}", known)
        raise InputError(f"{DEMO}{name}: no model of that name comes with atat; {near}")
    return folder


def example(model: str = MUSIC) -> Path:
    """A recording that a model of the package (demo:NAME) understands."""
    return find(model).parent / "example.wav"


def cache() -> Path:
    """Where unpacked models are kept."""
    return caches.folder(VARIABLE)


def _of_hub(name: str, sure: bool) -> Path:
    """A model of the hub; sure: the user said that it is one of the hub, not a folder."""
    what = f"{HUB}{name}" if sure else f"{name}: no such folder here, and as a name of the hub"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise InputError(
            f"{name}: no such folder here; to fetch a model of that name from the Hugging Face "
            "hub, install its client: pip install huggingface_hub"
        ) from None
    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None))
    except GatedRepoError:
        raise InputError(
            f"{what}: its owner lets only some people have it; ask on its page, then log in: "
            "hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{what}: it has no version {revision!r}; leave out @{revision}") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{what}: the hub has no such model, or it is private; correct the name, or log in: "
            "hf auth login"
        ) from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"{what}: it is not in the cache, and the hub cannot be reached; correct the path, or "
            "try again with a connection"
        ) from None
    except Exception as error:  # its client raises those of several libraries
        raise InputError(f"{what}: cannot be fetched ({error})") from None


def _unpacked(archive: Path) -> Path:
    """The packed model in an archive, unpacked into the cache if it is not there yet."""
    folder = cache() / "models" / digests.of_file(archive)[: digests.SHORT]
    if not folder.is_dir():
        caches.make(folder.parent, VARIABLE)
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _unpack(archive, partial)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # unpacked by another process meanwhile: the same files
                    raise
        except NotImplementedError as error:  # of zipfile
            raise InputError(f"{archive}: {error}; unpack it and name the folder") from None
        except (*_DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # tarfile tries several formats
            reason = next(iter(str(error).splitlines()), "it ends early").rstrip(":")
            raise InputError(
                f"{archive}: damaged or not an archive ({reason}); fetch it again"
            ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    found = sorted(folder.rglob(CONFIG), key=lambda path: len(path.parts))
    if not found:
        raise InputError(
            f"{archive}: holds no packed model (no {CONFIG}); pack the folder that training "
            "writes: exp/<name>/model"
        )
    return found[0].parent


def _unpack(archive: Path, folder: Path) -> None:
    """Write the plain files of an archive; InputError for one that would be written elsewhere."""
    total = 0
    for name, size, stream in _members(archive):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name:
            raise InputError(f"{archive}: a file in it has the name {name!r}, outside of it")
        total += size
        if total > LARGEST:
            raise InputError(f"{archive}: more than {LARGEST / 2**30:.0f} GiB unpacked; no model")
        target = folder / pure
        target.parent.mkdir(parents=True, exist_ok=True)
        with stream, open(target, "wb") as out:
            shutil.copyfileobj(stream, out)
    folder.mkdir(parents=True, exist_ok=True)


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of each plain file."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.flag_bits & 1:
                    raise InputError(
                        f"{archive}: encrypted; unpack it with its password and name the folder"
                    )
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, opened.open(entry)
        return
    with tarfile.open(archive) as tape:
        for member in tape:
            stream = tape.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield member.name, member.size, stream
