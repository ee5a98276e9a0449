"""Throws bytes at a reader of files until its law breaks, guided by which code they reach.

    pip install atheris
    utils/in_environment.sh python utils/fuzz.py ark --minutes 10 --findings /tmp/found

Readers: ark, wav, tree, textgrid (`LAWS`). A law says what must hold of any bytes: an answer that
agrees with itself, or InputError; no other exception, no crash, no hour, no gigabyte. What breaks
it is written to FINDINGS, a file for each place in the code, with the traceback beside it, and the
search goes on. What was mended is kept in tests/fuzzed/READER, and tests/test_fuzzed.py tries it.

Knows nothing of how the readers work. The laws themselves need no atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from atat.base.errors import InputError
from atat.datadir import ark
from atat.datadir.ctm import Word
from atat.prepare import textgrid
from atat.speech import audio, given
from atat.text import trees

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")
MEGABYTES = 2048  # of memory that a reader may take for a file of a few kilobytes
SECONDS = 20  # that it may take
LONGEST = 4096  # bytes of a file
GUIDED = ("atat", "kaldiio", "praatio", "wave", "soundfile")  # packages whose code guides


def ark_law(path: Path, data: bytes) -> None:
    """A matrix, and a summary of as many rows between whose bounds its values lie; or neither."""
    path.write_bytes(data)
    matrix, summary = _tried(ark.read, f"{path}:0"), _tried(ark.summarize, f"{path}:0")
    assert (matrix is None) == (summary is None), "one reads it, the other does not"
    if matrix is not None and summary is not None:
        assert summary.rows == len(matrix), "not as many rows"
        if matrix.size and np.isfinite(matrix).all() and np.isfinite(summary.highest):
            slack = 1e-4 * max(abs(summary.lowest), abs(summary.highest), 1e-30)
            assert summary.lowest - slack <= matrix.min(), "a value below the bounds"
            assert matrix.max() <= summary.highest + slack, "a value above the bounds"
        assert np.isfinite(matrix).all() or not _within(summary), "a value that is no number"


def _tried(reader: Callable[..., T], *arguments: object) -> T | None:
    """What a reader says; None if it refuses."""
    try:
        return reader(*arguments)
    except InputError:
        return None


def _within(summary: ark.Summary) -> bool:
    return bool(np.isfinite(summary.lowest) and np.isfinite(summary.highest))


def wav_law(path: Path, data: bytes) -> None:
    """Samples that are numbers, from memory as from the file; with soundfile and without."""
    path.write_bytes(data)
    found = [_samples(path), _samples(data)]
    with without_soundfile():
        plain = [_samples(path), _samples(data)]
    for one, other in (found, plain):
        assert (one is None) == (other is None), "a file and the same in memory differ"
        if one is not None and other is not None:
            assert one.dtype == np.float32 and one.ndim == 1 and np.isfinite(one).all()
            assert np.array_equal(one, other), "other samples in memory"
    for reader in (audio.probe, audio.check):
        _tried(reader, path)


def _samples(source: Path | bytes) -> np.ndarray | None:
    return _tried(lambda: given.samples_of(source, channel=0, longest=60.0))


@contextlib.contextmanager
def without_soundfile() -> Iterator[None]:
    """Let `import soundfile` fail, as on a device."""
    there = sys.modules.get("soundfile")
    sys.modules["soundfile"] = None  # type: ignore[assignment]  # as Python itself takes it
    try:
        yield
    finally:
        del sys.modules["soundfile"]
        if there is not None:
            sys.modules["soundfile"] = there


def tree_law(path: Path, data: bytes) -> None:
    """A tree that is read from its own text as itself."""
    text = data.decode("utf-8", errors="replace")
    tree = _tried(trees.parse, text)
    if tree is None:
        return
    written = trees.to_string(tree)
    assert trees.parse(written) == tree and trees.to_string(trees.parse(written)) == written
    assert written.split() == trees.to_tokens(tree) and len(trees.items(tree)) == len(
        trees.spans(tree)
    )
    assert trees.is_well_formed(tree) in (True, False)
    trees.drop_words_outside_slots(tree)


def textgrid_law(path: Path, data: bytes) -> None:
    """Words and phones at times that are numbers."""
    path.write_bytes(data)
    for reader in (textgrid.read_textgrid, textgrid.read_phones):
        found = _tried(reader, path)
        if found is None:
            continue
        words, length = found
        times = [time for word in words for time in (word.start, word.duration)]
        assert np.isfinite([*times, length]).all(), "a time that is no number"
        assert all(word.text.split() == [word.text] for word in words), "not one word"


Law = Callable[[Path, bytes], None]
LAWS: dict[str, Law] = {
    "ark": ark_law,
    "wav": wav_law,
    "tree": tree_law,
    "textgrid": textgrid_law,
}


# What guessing takes long for.
TOKENS: dict[str, list[bytes]] = {
    "ark": [b"\0BFM ", b"\0BDM ", b"\0BFV ", b"\0BCM ", b"\0BCM2 ", b"\0BCM3 ", b"\0B\4", b" [\n"]
    + [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"nan", b"inf", b"1e999"],
    "wav": [
        b"RIFF",
        b"WAVE",
        b"fmt ",
        b"data",
        b"LIST",
        b"fact",
        b"RF64",
        b"RIFX",
        b"fLaC",
        b"OggS",
    ]
    + [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\3\0", b"\xfe\xff"],
    "tree": [b"[IN:", b"[SL:", b" ]", b"\\[", b"\\]", b"\\\\", "\u2028".encode(), b"\xc2\x85"],
    "textgrid": [
        b"nan",
        b"inf",
        b"-inf",
        b"1e999",
        b"-1",
        b'"IntervalTier"',
        b'"TextTier"',
        b'"words"',
    ]
    + [b'"phones"', b"<exists>", b"<absent>", b"intervals [", b"xmin = ", b"xmax = ", b'""'],
}


def seeds(reader: str, folder: Path) -> list[bytes]:
    """Whole files of a reader's formats, to begin with; `folder` is for files on the way."""
    if reader == "tree":
        texts = ["[IN:A b [SL:C d [IN:E ] ] ]", r"[IN:A \[ \] \\ x ]", "[SL:Ä ß ]", "[IN:A", "]"]
        return [text.encode() for text in texts]
    made = {"ark": _arks, "wav": _wavs, "textgrid": _textgrids}[reader](folder)
    return [path.read_bytes() for path in made]


def _arks(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    made = []
    for number, (rows, kind, compression) in enumerate(
        [
            (3, np.float32, None),
            (2, np.float64, None),
            (9, np.float32, 2),
            (9, np.float32, 3),
            (9, np.float32, 5),
            (0, np.float32, None),
        ]
    ):
        matrix = rng.normal(0, 1, (rows, 2)).astype(kind)
        path = folder / f"{number}.ark"
        with open(path, "wb") as stream:
            ark.ark_library.write_matrix(stream, matrix if rows else matrix[:0], compression)
        made.append(path)
    for name, content in (
        ("vector", b"\0BFV \4" + np.int32(2).tobytes() + bytes(8)),
        ("integers", b"\0B\4" + np.int32(2).tobytes() + b"\4" + bytes(4) + b"\4" + bytes(4)),
        ("text", b" [\n  1 2\n  3 4 ]\n"),
        ("text_vector", b" [ 1 2.5 ]\n"),
    ):
        (folder / name).write_bytes(content)
        made.append(folder / name)
    return made


def _wavs(folder: Path) -> list[Path]:
    import soundfile

    samples = np.sin(np.arange(400) / 9)
    made = []
    for number, (name, rate, subtype) in enumerate(
        [
            ("wav", 16000, "PCM_16"),
            ("wav", 8000, "PCM_U8"),
            ("wav", 16000, "FLOAT"),
            ("wav", 16000, "IMA_ADPCM"),
            ("wav", 44100, "PCM_24"),
            ("flac", 16000, "PCM_16"),
            ("ogg", 16000, "VORBIS"),
        ]
    ):
        made.append(folder / f"{number}.{name}")
        soundfile.write(made[-1], samples, rate, subtype=subtype)
    made.append(folder / "two.wav")
    soundfile.write(made[-1], np.stack([samples, -samples], 1), 16000)
    return made


def _textgrids(folder: Path) -> list[Path]:
    words = [Word("play", 0.0, 0.2), Word("it", 0.3, 0.1), Word("now", 0.4, 0.4)]
    phones = [Word("S", 0.0, 0.2), Word("AH", 0.3, 0.1)]
    made = []
    for form in ("long", "short"):
        made.append(folder / f"{form}.TextGrid")
        textgrid.write_textgrid(made[-1], words, 1.0, phones=phones, form=form)
    made.append(folder / "wide.TextGrid")
    made[-1].write_bytes(made[0].read_text().encode("utf-16"))
    return made


def fuzz(reader: str, minutes: float, findings: Path, rest: list[str]) -> None:
    """Run atheris; it ends the process."""
    import atheris

    findings.mkdir(parents=True, exist_ok=True)
    corpus = findings / "corpus"
    corpus.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for number, seed in enumerate(seeds(reader, Path(scratch))):
            (corpus / f"seed{number}").write_bytes(seed)
    for path in sorted((ROOT / "tests" / "fuzzed" / reader).glob("*")):
        (corpus / path.name).write_bytes(path.read_bytes())
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    path = (
        Path(tempfile.mkdtemp(dir=memory))
        / f"file.{'TextGrid' if reader == 'textgrid' else reader}"
    )
    seen: set[str] = set()
    tried, begun = [0], time.monotonic()

    def one(data: bytes) -> None:
        tried[0] += 1
        if tried[0] % 20000 == 0:
            print(f"{tried[0]} files, {time.monotonic() - begun:.0f} s, {len(seen)} findings")
        try:
            LAWS[reader](path, data)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
            if name not in seen:
                seen.add(name)
                (findings / f"{name}.bin").write_bytes(data)
                (findings / f"{name}.txt").write_text(traceback.format_exc())
                print(f"found: {name}: {error}", flush=True)

    _instrument(atheris.instrument_func)
    tokens = findings / "tokens"
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS[reader]))
    arguments = [
        f"-dict={tokens}",
        f"-max_total_time={60 * minutes:.0f}",
        f"-max_len={LONGEST}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-timeout={SECONDS}",
        f"-artifact_prefix={findings}/",
        *rest,
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


def _instrument(instrument: Callable[[Any], Any]) -> None:
    """Let atheris see which lines of the readers run. All modules there are would take minutes."""
    importlib.import_module("praatio.textgrid")  # what is imported only when it is needed
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").split(".")[0] not in GUIDED:
            continue
        for thing in list(vars(module).values()):
            for function in vars(thing).values() if isinstance(thing, type) else [thing]:
                if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                    instrument(function)


def main() -> None:
    """Command line; what it does not know goes to libFuzzer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", choices=LAWS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--findings", type=Path, required=True, help="folder for what is found")
    options, rest = parser.parse_known_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    fuzz(options.reader, options.minutes, options.findings, rest)


if __name__ == "__main__":
    main()
