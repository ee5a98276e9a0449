"""A hundred ways to spoil one utterance, or one file, of a data dir that `sound.py` has made.

Knows nothing of the checks; `faulty.py` says what becomes of each fault.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from sound import MELS, Dir

from atat.datadir import ark

Spoil = Callable[[Dir, str], None]
FRAMES = 46  # of an utterance


@dataclass(frozen=True)
class Fault:
    """One way to spoil an utterance."""

    name: str
    file: str  # the table that is spoilt, or names what is spoilt
    spoil: Spoil  # of this utterance
    where: str = "plain"  # the data dir, or "cut"
    is_error: bool = True  # or a warning: it may be meant
    is_whole: bool = False  # a file is spoilt, not an utterance: one such at a time


def rest(file: str, change: Callable[[str], str]) -> Spoil:
    """Change what follows the id in a table of one line an utterance."""

    def spoil(data: Dir, key: str) -> None:
        data.rows[file][key] = f"{key} {change(data.value(file, key))}\n"

    return spoil


def lines(file: str, change: Callable[[str, str], str]) -> Spoil:
    """Change the lines of an utterance; change(id, lines)."""

    def spoil(data: Dir, key: str) -> None:
        new = change(key, data.rows[file][key])
        assert new != data.rows[file][key], (file, key)
        data.rows[file][key] = new

    return spoil


def whole(file: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Change a table as a whole."""

    def spoil(data: Dir, key: str) -> None:
        data.written[file] = change(data.content(file))

    return spoil


def recording(change: Callable[[Path], object]) -> Spoil:
    """Change the recording."""

    def spoil(data: Dir, key: str) -> None:
        change(Path(data.value("wav.scp", key)))

    return spoil


def matrix(change: Callable[[bytes], bytes], entry: str = "{}:{}") -> Spoil:
    """Give the utterance an ark of its own and change its bytes, or what feats.scp says of it."""

    def spoil(data: Dir, key: str) -> None:
        path = data.folder.parent / "own" / f"{key}.ark"
        values = ark.read(data.value("feats.scp", key))
        with ark.Writer(path) as write:
            write(key, values)
        path.write_bytes(change(path.read_bytes()))
        data.rows["feats.scp"][key] = f"{key} {entry.format(path, len(key) + 1)}\n"

    return spoil


def renamed(new: Callable[[str], str]) -> Spoil:
    """Another id in all tables."""

    def spoil(data: Dir, key: str) -> None:
        for name, table in data.rows.items():
            if name.startswith("spk2"):
                continue
            table[key] = table[key].replace(f"{key} ", f"{new(key)} ")
        speaker = data.value("utt2spk", key)
        own = data.rows["spk2utt"]
        own[speaker] = own[speaker].replace(key, new(key))

    return spoil


def features_of_another(data: Dir, key: str) -> None:
    """Those of the utterance before it."""
    keys = list(data.rows["utt2spk"])
    other = data.value("feats.scp", keys[keys.index(key) - 1])
    data.rows["feats.scp"][key] = f"{key} {other}\n"


def apart(data: Dir, key: str) -> None:
    """The last line of an alignment stands behind that of the next utterance but one."""
    table = data.rows["ctm"]
    keys = list(table)
    *most, last = table[key].splitlines(keepends=True)
    table[key] = "".join(most)
    table[keys[(keys.index(key) + 2) % len(keys)]] += last


def dangling(path: Path) -> None:
    """A link to a file that is not there."""
    path.symlink_to(path.with_suffix(".nowhere"))


def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else in the place of the file."""

    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def sound(samples: np.ndarray, subtype: str = "PCM_16", rate: int = 16000) -> Callable[..., object]:
    """Another recording."""
    return lambda path: soundfile.write(path, samples, rate, subtype=subtype)


def loud(value: float) -> np.ndarray:
    """Half a second of silence but for one sample."""
    return np.where(np.arange(8000) == 4000, value, 0.0)


def patched(place: int, new: bytes) -> Callable[[Path], object]:
    """Other bytes at a place of the file."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place : place + len(new)] = new
        path.write_bytes(content)

    return change


def last_value(value: float) -> Callable[[bytes], bytes]:
    """Another value at the end of a matrix."""
    return lambda content: content[:-4] + struct.pack("<f", value)


def header(rows: int, columns: int, *, cut: bool = False) -> Callable[[bytes], bytes]:
    """Another size in a matrix' header; cut: and as many values."""

    def change(content: bytes) -> bytes:
        start = content.index(b"\0BFM ") + 5
        values = content[start + 10 :][: 4 * rows * columns if cut else None]
        return content[:start] + struct.pack("<bibi", 4, rows, 4, columns) + values

    return change


RECORDINGS: dict[str, Callable[[Path], object]] = {
    "empty file": lambda path: path.write_bytes(b""),
    "header only": lambda path: path.write_bytes(path.read_bytes()[:44]),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "a web page": lambda path: path.write_text("<html>404</html>"),
    "8 kHz": sound(np.zeros(4000), rate=8000),
    "two channels": sound(np.zeros((8000, 2))),
    "NaN": sound(loud(np.nan), "FLOAT"),
    "infinity": sound(loud(np.inf), "DOUBLE"),
    "16-bit numbers as floats": sound(loud(2e4), "FLOAT"),
    "no such file": lambda path: path.unlink(),
    "a folder": instead(Path.mkdir),
    "a link to nothing": instead(dangling),
    "a link to itself": instead(lambda path: path.symlink_to(path)),
    "a named pipe": instead(os.mkfifo),
    "0 Hz in the header": patched(24, bytes(4)),
    "0 channels in the header": patched(22, bytes(2)),
    "an unknown code in the header": patched(20, b"\x99\x09"),
}
MATRICES: dict[str, Callable[[bytes], bytes]] = {
    "half an ark": lambda content: content[:200],
    "NaN in features": last_value(np.nan),
    "features of 1e30": last_value(1e30),
    "no frame": header(0, MELS, cut=True),
    "no mel bin": header(FRAMES, 0, cut=True),
    "fewer mel bins": header(FRAMES, MELS - 3, cut=True),
    "2 billion rows": header(2**31 - 1, MELS),
    "-3 rows": header(-3, MELS),
    "a vector": lambda content: content.replace(b"\0BFM ", b"\0BFV "),
    "no matrix": lambda content: content.replace(b"\0BFM ", b"\0BXM "),
    "a pickle": lambda content: pickle.dumps(print) * (len(content) // 20),
}
ENTRIES = {  # of feats.scp
    "offset behind the end": "{}:99999999",
    "offset within": "{}:3",
    "offset below 0": "{}:-5",
    "rows behind the end": "{}:{}[900:950]",
    "a range of letters": "{}:{}[a:b]",
    "three ranges": "{}:{}[0:1,0:1,0:1]",
}
# Table -> name -> what stands behind the id instead.
VALUES: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "wav.scp": {
        "no path": lambda _: "",
        "a path from home": lambda _: "~/a.wav",
        "an endless device": lambda _: "/dev/zero",
    },
    "feats.scp": {
        "no such ark": lambda value: value.replace(".ark:", ".gone:"),
        "a command in feats.scp": lambda value: f"cat {value} |",
        "nothing in feats.scp": lambda _: "",
    },
    "text": {
        "no words": lambda _: "",
        "reserved symbol": lambda value: value + " <s>",
        "no-break space": lambda value: value.replace(" ", "\u00a0"),
        "line separator": lambda value: value.replace(" ", "\u2028"),
        "control character": lambda value: value.replace(" ", " \x07 "),
        "byte of value 0": lambda value: value + "\0",
        "not UTF-8": lambda value: value + " caf\udce9",
        "carriage return within": lambda value: value.replace(" ", "\r"),
    },
    "semantics": {
        "bracket missing": lambda value: value[:-2],
        "bracket too many": lambda value: value + " ]",
        "bracket in a word": lambda value: value.replace("the", "t]he"),
        "words without a root": lambda _: "play it",
        "tag without a name": lambda value: f"[IN: {value} ]",
        "no tree": lambda _: "",
        "10,000 brackets": lambda value: "[IN:A " * 10000 + value,
    },
    "utt2spk": {"no speaker": lambda _: "", "two speakers": lambda value: f"{value} {value}"},
    "utt2dur": {
        "0 seconds": lambda _: "0",
        "NaN seconds": lambda _: "nan",
        "-1 seconds": lambda _: "-1",
        "endless": lambda _: "inf",
        "seconds of letters": lambda _: "long",
    },
    "utt2num_frames": {
        "4.5 frames": lambda _: "4.5",
        "other frames": lambda _: "7",
        "digits of another script": lambda _: "²",
    },
    "segments": {
        "segment behind the end": lambda value: value.split()[0] + " 0 99",
        "segment backwards": lambda value: value.split()[0] + " 0.5 0.2",
        "segment of NaN": lambda value: value.split()[0] + " nan 0.2",
        "segment of no recording": lambda value: "x" + value,
        "segment of two fields": lambda value: value.rpartition(" ")[0],
        "segment without length": lambda value: value.split()[0] + " 0.2 0.2",
    },
}
# Table -> name -> (id, lines) -> other lines.
LINES: Mapping[str, Mapping[str, Callable[[str, str], str]]] = {
    "text": {
        "no line": lambda key, old: "",
        "two lines": lambda key, old: old + f"{key} other words\n",
        "blank before the id": lambda key, old: " " + old,
        "unknown id": lambda key, old: old + f"{key}-x play\n",
        "id that is not UTF-8": lambda key, old: "\udce9" + old,
    },
    "semantics": {"no line of a tree": lambda key, old: ""},
    "utt2spk": {"missing in utt2spk": lambda key, old: ""},
    "ctm": {
        "another word": lambda key, old: old.replace(" the\n", " a\n"),
        "word too few": lambda key, old: old.partition("\n")[2],
        "behind the audio": lambda key, old: old.replace(" 1 0.3600 ", " 1 7.3600 "),
        "before the audio": lambda key, old: old.replace(" 1 0.0000 ", " 1 -1.0 "),
        "times of NaN": lambda key, old: old.replace(" 1 0.1200 ", " 1 nan "),
        "times of infinity": lambda key, old: old.replace(" 0.1200 the", " inf the"),
        "word during another": lambda key, old: old.replace(" 1 0.2400 ", " 1 0.1300 "),
        "field too few": lambda key, old: old.replace(" 1 0.1200 ", " 0.1200 "),
        "times of letters": lambda key, old: old.replace(" 1 0.1200 ", " 1 soon "),
    },
    "phones.ctm": {
        "unknown phone": lambda key, old: old.replace(" S\n", " QQ\n"),
        "phones behind the audio": lambda key, old: old.replace(" 0.3600 S", " 9.0 S"),
        "phones at NaN": lambda key, old: old.replace(" 1 0.1200", " 1 nan"),
    },
}
RENAMED: dict[str, Callable[[str], str]] = {
    "slash in the id": lambda key: key + "/../x",
    "control character in the id": lambda key: key + "\x85",
    "blank that is none in the id": lambda key: key + "\u00a0x",
    "id of 400 bytes": lambda key: key + "x" * 400,
}
FILES: Mapping[str, Mapping[str, Callable[[bytes], bytes]]] = {
    "text": {"byte order mark": lambda content: b"\xef\xbb\xbf" + content},
    "semantics": {"Windows line ends": lambda content: content.replace(b"\n", b"\r\n")},
    "ctm": {"UTF-16": lambda content: content.decode().encode("utf-16")},
    "utt2dur": {"not sorted": lambda content: b"".join(content.splitlines(True)[::-1])},
    "spk2utt": {"an older spk2utt": lambda content: content.replace(b" s0-", b" s1-", 1)},
    "spk2gender": {"another gender": lambda content: content.replace(b" f\n", b" x\n", 1)},
    "phones.ctm": {"an empty file": lambda content: b""},
    "utt2num_frames": {"an ark's name": lambda content: b"\0BFM " + content},
}
FAULTS = (
    *(Fault(name, "wav.scp", recording(change)) for name, change in RECORDINGS.items()),
    *(Fault(name, "feats.scp", matrix(change)) for name, change in MATRICES.items()),
    *(Fault(name, "feats.scp", matrix(bytes, entry)) for name, entry in ENTRIES.items()),
    *(
        Fault(name, file, rest(file, change), "cut" if file == "segments" else "plain")
        for file, changes in VALUES.items()
        for name, change in changes.items()
    ),
    Fault(  # an error only where there are no features
        "a shell command",
        "wav.scp",
        rest("wav.scp", lambda value: f"cat {value} |"),
        is_error=False,
    ),
    *(
        Fault(name, file, lines(file, change))
        for file, changes in LINES.items()
        for name, change in changes.items()
    ),
    *(Fault(name, "utt2spk", renamed(change)) for name, change in RENAMED.items()),
    Fault("features of another", "feats.scp", features_of_another),
    Fault("a line elsewhere", "ctm", apart),
    Fault("10 s of half a one", "utt2dur", rest("utt2dur", lambda _: "10"), is_error=False),
    *(
        Fault(name, file, whole(file, change), is_whole=True)
        for file, changes in FILES.items()
        for name, change in changes.items()
    ),
)
