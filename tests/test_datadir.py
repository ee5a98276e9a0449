"""Data dirs: every defect is found with file and line, fixed, and no tool forgets a file."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atat.base.errors import InputError
from atat.datadir import commands, imported, own_corpus
from atat.datadir import edit as tools
from atat.datadir.check import validate
from atat.datadir.check_audio import AudioOptions
from atat.datadir.files import ALIGNMENTS
from atat.datadir.kaldi_dir import Utterance, load, speakers_to_utterances
from atat.datadir.repair import apply, plan
from atat.datadir.tables import read_table, write_tables
from atat.speech import audio

SPEAKERS = ("ann", "bob", "cyd")
WORDS = "play a song"
TREE = r"[IN:PLAY play [SL:THING a song ] ]"
NO_AUDIO = AudioOptions(check_audio=False)


def hundred_bytes_each(ids: Iterable[str]) -> bytes:
    """An ark of compressed matrices of 48 frames; number n starts at byte 100 n."""
    matrix = b"\0BCM3 " + struct.pack("<ffii", 0, 1, 48, 1) + bytes(48)
    entries = [
        matrix + (f"{key} ".encode()).rjust(100 - len(matrix), b"\0") for key in [*ids][1:]
    ]  # a key stands before its matrix
    return b"".join(entries) + matrix.ljust(100, b"\0")


@pytest.fixture
def made(tmp_path) -> Path:
    """A sound data dir of 3 speakers with 4 utterances of 0.5 s each, and all kinds of files."""
    ids = {f"{speaker}-{number}": speaker for speaker in SPEAKERS for number in range(4)}
    (tmp_path / "wavs").mkdir()
    for number, utterance in enumerate(ids):
        samples = np.full(8000 + 80 * number, number, np.int16)
        soundfile.write(tmp_path / "wavs" / f"{utterance}.wav", samples, 16000)
    (tmp_path / "feats.ark").write_bytes(hundred_bytes_each(ids))
    tables = {
        "utt2spk": ids,
        "spk2utt": {speaker: " ".join(u for u in ids if ids[u] == speaker) for speaker in SPEAKERS},
        "wav.scp": {u: f"{tmp_path}/wavs/{u}.wav" for u in ids},
        "text": dict.fromkeys(ids, WORDS),
        "text.raw": dict.fromkeys(ids, WORDS.title()),
        "semantics": dict.fromkeys(ids, TREE),
        "ctm": {u: ["1 0.00 0.10 play", "1 0.10 0.10 a", "1 0.20 0.20 song"] for u in ids},
        "phones.ctm": {u: ["1 0.00 0.20 sil", "1 0.20 0.20 S"] for u in ids},
        "feats.scp": {u: f"{tmp_path}/feats.ark:{100 * n}" for n, u in enumerate(ids)},
        "utt2dur": {u: f"{0.5 + 0.005 * n:.3f}" for n, u in enumerate(ids)},
        "utt2num_frames": dict.fromkeys(ids, "48"),
        "utt2group": {u: "seen" if u.startswith("ann") else "unseen" for u in ids},
        "spk2voice": {speaker: f"espeak:en+{speaker}" for speaker in SPEAKERS},
        "spk2gender": dict(zip(SPEAKERS, "fmf")),
        "reco2dur": {u: f"{0.5 + 0.005 * n:.3f}" for n, u in enumerate(ids)},
        "utt2mood": dict.fromkeys(ids, "glad"),
        "weather": dict.fromkeys(ids, "rain"),
        "accents": dict.fromkeys(SPEAKERS, "scottish"),
    }
    write_tables(tmp_path / "data", tables)
    (tmp_path / "data" / "frame_shift").write_text("0.01\n")
    (tmp_path / "data" / "README").write_text("What this is.\n\nMade by hand.\n")
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the hidden one that remembers what features hold."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def segmented(made: Path) -> Path:
    """The dir as segments of two recordings: speakers' utterances one after the other."""
    recordings = {"r1": ["ann"], "r2": ["bob", "cyd"]}
    ids = list(read_table(made / "utt2spk"))
    segments = {}
    for recording, speakers in recordings.items():
        inside = [u for u in ids if u.split("-")[0] in speakers]
        soundfile.write(
            made.parent / f"{recording}.wav", np.zeros(8000 * len(inside), np.int16), 16000
        )
        segments |= {u: f"{recording} {n / 2} {n / 2 + 0.5}" for n, u in enumerate(inside)}
    write_tables(
        made,
        {
            "segments": segments,
            "wav.scp": {r: f"{made.parent}/{r}.wav" for r in recordings},
        },
        remove=["reco2dur", "utt2dur"],
    )
    return made


def test_a_sound_dir_has_no_findings(made, capsys):
    report = validate(made)
    assert not report.errors and not report.warnings
    assert not validate(segmented(made)).errors
    commands.main(["validate", str(made)])
    assert "no errors" in capsys.readouterr().out


DEFECTS = [
    # file, old text, new text, kind of the error, its file and line
    ("text", "ann-1 play a song\n", "", "missing in text", "utt2spk:2"),
    ("utt2spk", "bob-0 bob\n", "", "not in utt2spk", "text:5"),
    ("wav.scp", "bob-1 ", "bob-9 ", "missing in wav.scp", "utt2spk:6"),
    ("text", "ann-1 ", "ann-0 ", "duplicate key", "text:2"),
    ("text", "ann-0 play a song\nann-1 ", "ann-1 play a song\nann-0 ", "not sorted", "text:2"),
    ("text", "ann-2 play a song", "ann-2", "empty text", "text:3"),
    ("text", "ann-2 play a song", "ann-2 play\u00a0a song", "odd white space", "text:3"),
    ("text", "ann-2 play", "ann-2 <s>", "reserved symbol", "text:3"),
    ("text", "ann-0", "\ufeffann-0", "byte order mark", "text:1"),
    ("text", "ann-1 play a song\n", "\n", "line without a key", "text:2"),
    ("utt2spk", "ann-1 ann", "ann-1", "malformed utt2spk", "utt2spk:2"),
    ("spk2utt", "ann-1", "bob-1", "spk2utt unlike utt2spk", "spk2utt:1"),
    ("spk2gender", "bob m", "bob x", "malformed spk2gender", "spk2gender:2"),
    ("spk2gender", "bob m\n", "", "missing in spk2gender", "spk2gender"),
    ("spk2voice", "cyd ", "dan ", "not in utt2spk", "spk2voice:3"),
    ("utt2dur", "ann-1 0.505", "ann-1 0", "malformed utt2dur", "utt2dur:2"),
    ("utt2num_frames", "ann-1 48", "ann-1 4.8", "malformed utt2num_frames", "utt2num_frames:2"),
    ("semantics", "ann-3 [IN:PLAY", "ann-3 [IN:PLAY [IN:PLAY", "not a tree", "semantics:4"),
    ("semantics", "ann-3 [IN:PLAY play", "ann-3 play", "not a tree", "semantics:4"),
    ("ctm", "ann-1 1 0.20 0.20 song", "ann-1 1 0.20 0.20 sing", "alignment unlike text", "ctm:4"),
    ("ctm", "ann-1 1 0.20 0.20 song", "ann-1 1 0.20 9.20 song", "alignment unlike audio", "ctm:4"),
    ("ctm", "ann-1 1 0.20 0.20 song", "ann-1 1 0.20 song", "malformed ctm", "ctm:6"),
    ("ctm", "ann-1 1 0.20 0.20 song", "ann-1 1 0.05 0.20 song", "malformed ctm", "ctm:4"),
    ("phones.ctm", "ann-1 1 0.20 0.20 S", "ann-1 1 0.20 0.20 Q", "malformed ctm", "phones.ctm:3"),
    ("phones.ctm", "ann-1 1 0.20 0.20 S", "ann-1 1 0.20", "malformed ctm", "phones.ctm:4"),
    (
        "phones.ctm",
        "ann-1 1 0.20 0.20 S",
        "ann-1 1 0.20 9.20 S",
        "alignment unlike audio",
        "phones.ctm:3",
    ),
    ("feats.scp", "feats.ark:100\n", "feats.ark:1200\n", "features missing", "feats.scp:2"),
    ("feats.scp", "feats.ark:100\n", "gone.ark:100\n", "features missing", "feats.scp:2"),
    ("feats.scp", "feats.ark:100\n", "feats.ark:110\n", "damaged features", "feats.scp:2"),
    (
        "utt2num_frames",
        "ann-1 48",
        "ann-1 49",
        "utt2num_frames unlike features",
        "utt2num_frames:2",
    ),
    ("wav.scp", "bob-0.wav", "gone.wav", "audio missing", "wav.scp:5"),
]


@pytest.mark.parametrize("name, old, new, kind, where", DEFECTS)
def test_a_defect_is_found_where_it_is(made, name, old, new, kind, where):
    edit(made / name, old, new)
    report = validate(made)
    assert kind in report.errors
    assert any(str(f).startswith(f"{made}/{where}: ") for f in report.kept[kind, True])


@pytest.mark.parametrize(
    "name, old, new, kind",
    [
        ("utt2spk", "bob-3 bob", "bob-3 cyd", "id without its speaker"),
        ("utt2spk", "bob-3 bob", "bob-3 ann", "speakers not sorted"),
        (
            "semantics",
            "[SL:THING a song ]",
            "[IN:THING a song ]",
            "intents and slots do not alternate",
        ),
        ("semantics", "a song", "any song", "tree words unlike text"),
        (
            "ctm",
            "ann-0 1 0.00 0.10 play\nann-0 1 0.10 0.10 a\nann-0 1 0.20 0.20 song\n",
            "",
            "missing in ctm",
        ),
        ("utt2dur", "ann-0 0.500", "ann-0 0.700", "utt2dur unlike audio"),
        ("utt2mood", "ann-0 glad\n", "", "missing in utt2mood"),
        ("text", "song\n", "song \n", "trailing blanks"),
        ("text", "cyd-3 play a song\n", "cyd-3 play a song", "no newline at the end"),
    ],
)
def test_what_may_be_meant_only_warns(made, name, old, new, kind):
    edit(made / name, old, new)
    speakers = read_table(made / "utt2spk")
    write_tables(made, {"spk2utt": speakers_to_utterances(speakers)})
    report = validate(made)
    assert not report.errors
    assert kind in report.warnings


def test_a_long_pause_behind_the_last_word_only_warns(made):
    """People pause; validate has read what `atat align` wrote of 2,380 of them as 14 errors."""
    soundfile.write(made.parent / "wavs/bob-3.wav", np.zeros(16000 * 4, np.int16), 16000)
    (made / "utt2dur").unlink()
    (made / "reco2dur").unlink()
    for name in ("feats.scp", "utt2num_frames"):
        (made / name).unlink()
    report = validate(made)
    assert not report.errors and report.warnings == {"alignment ends early": 2}
    assert not plan(made).lost and not plan(made).lost_alignments


@pytest.mark.parametrize(
    "tree, warned",
    [
        (
            "[IN:PLAY [SL:THING the_song ] play a song ]",
            False,
        ),  # labels first, then all that is said
        ("[IN:PLAY [SL:THING any tune ] ]", False),  # intent and slots alone
        ("[IN:PLAY [SL:THING the_song ] play any song ]", True),
        ("[IN:PLAY play [SL:THING any song ] ]", True),
    ],
)
def test_values_in_canonical_form_are_no_warning(made, tree, warned):
    trees = read_table(made / "semantics")
    write_tables(made, {"semantics": dict.fromkeys(trees, tree)})
    report = validate(made)
    assert not report.errors
    assert ("tree words unlike text" in report.warnings) == warned


def test_windows_files_are_found_and_mended(made):
    before = contents(made)
    for name in ("text", "utt2spk", "semantics"):
        (made / name).write_bytes(b"\xef\xbb\xbf" + before[name].replace(b"\n", b"\r\n"))
    report = validate(made)
    assert report.errors == {"byte order mark": 3, "Windows line ends": 3}
    assert apply(plan(made)) == ["semantics", "text", "utt2spk"]
    assert contents(made) == before


def broken(path: Path, how: str) -> None:
    """Make a sound recording one of the kinds of broken ones."""
    data = path.read_bytes()
    nan = np.zeros(8000, np.float32)
    nan[4000] = np.nan
    match how:
        case "empty":
            path.write_bytes(b"")
        case "header only":
            path.write_bytes(data[:44])
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "not audio":
            path.write_text("<html>404 not found</html>")
        case "8 kHz":
            soundfile.write(path, np.zeros(4000, np.int16), 8000)
        case "stereo":
            soundfile.write(path, np.zeros((8000, 2), np.int16), 16000)
        case "NaN":
            soundfile.write(path, nan, 16000, subtype="FLOAT")
        case "NaN on the second channel":
            soundfile.write(path, np.stack([0 * nan[::-1], nan], 1), 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    "how, kinds",
    [
        ("empty", {"audio empty"}),
        ("header only", {"audio unreadable"}),
        ("truncated", {"audio unreadable"}),
        ("not audio", {"audio unreadable"}),
        ("8 kHz", {"sample rate"}),
        ("stereo", {"channels"}),
        ("NaN", {"damaged samples"}),
        ("NaN on the second channel", {"channels", "damaged samples"}),
    ],
)
def test_broken_audio_is_found_and_dropped(made, how, kinds):
    broken(made.parent / "wavs" / "bob-2.wav", how)
    report = validate(made)
    assert set(report.errors) == kinds
    kind = min(kinds)
    assert str(report.kept[kind, True][0]).startswith(f"{made}/wav.scp:7: 'bob-2': ")
    assert not validate(made, NO_AUDIO).errors
    apply(plan(made), max_lost=0.1)
    assert not validate(made).errors
    assert len(load(made)) == 11


def test_segments_out_of_bounds_and_without_recording(made):
    segmented(made)
    edit(made / "segments", "ann-3 r1 1.5 2.0", "ann-3 r1 1.5 2.9")
    edit(made / "segments", "bob-0 r2", "bob-0 r3")
    edit(made / "segments", "bob-1 r2 0.5 1.0", "bob-1 r2 1.0 0.5")
    report = validate(made)
    assert report.errors == {
        "segment out of bounds": 1,
        "recording not in wav.scp": 1,
        "malformed segment": 1,
    }
    assert set(report.lost) == {"ann-3", "bob-0", "bob-1"}


def test_a_recording_nobody_uses_goes_with_its_last_segment(made):
    segmented(made)
    for number in range(4):
        edit(made / "text", f"ann-{number} play a song\n", "")
    assert apply(plan(made), max_lost=0.5)
    assert list(read_table(made / "wav.scp")) == ["r2"]
    assert not validate(made).errors


@pytest.mark.parametrize("kind", ["error", "warning"])
def test_all_findings_are_counted_and_three_of_a_kind_shown_in_one_stream(tmp_path, capsys, kind):
    ids = [f"a-{n:03}" if kind == "error" else f"{n:03}-a" for n in range(100)]
    write_tables(
        tmp_path,
        {
            "utt2spk": dict.fromkeys(ids, "a"),
            "spk2utt": {"a": " ".join(ids)},
            "text": dict.fromkeys(ids, "" if kind == "error" else "play"),
        },
    )
    if kind == "error":
        with pytest.raises(InputError, match="100 errors of one kind;"):
            commands.main(["validate", str(tmp_path)])
    else:
        commands.main(["validate", str(tmp_path)])
    out, err = capsys.readouterr()
    shown, silent = (err, out) if kind == "error" else (out, err)
    assert silent == ""
    lines = shown.splitlines()
    start = next(n for n, line in enumerate(lines) if line.endswith(" (100)"))
    assert lines[start].startswith(f"{kind}: ")
    assert all(line.startswith(f"  {tmp_path}/") for line in lines[start + 1 : start + 4])
    assert lines[start + 4] == "  and 97 more"


def test_validate_exits_with_2_and_runs_no_pipe(made):
    trap = made / "executed"
    edit(made / "wav.scp", f"{made.parent}/wavs/ann-0.wav", f"touch {trap} |")
    (made / "feats.scp").unlink()
    (made / "utt2num_frames").unlink()
    command = [sys.executable, "-m", "atat", "datadir", "validate", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{made}/wav.scp:1: 'ann-0' is a command" in done.stderr
    assert "Traceback" not in done.stderr and "repair" in done.stderr
    allowed = subprocess.run([*command, "--allow_pipes"], capture_output=True, text=True)
    assert allowed.returncode == 0
    assert not trap.exists()


def test_repair_drops_from_all_files_sorts_and_keeps_the_old(made):
    before = contents(made)
    edit(made / "text", "ann-1 play a song\n", "")
    edit(made / "semantics", "bob-1 [IN:PLAY", "bob-1 IN:PLAY")
    edit(made / "ctm", "cyd-0 1 0.20 0.20 song", "cyd-0 1 0.20 0.20 sing")
    edit(made / "phones.ctm", "cyd-2 1 0.20 0.20 S", "cyd-2 1 0.20 0.20 Q")
    lines = (made / "utt2spk").read_text().splitlines(keepends=True)
    (made / "utt2spk").write_text("".join(reversed(lines)))
    todo = plan(made)
    assert todo.lost == {"ann-1": "missing in text", "bob-1": "not a tree"}
    assert todo.lost_alignments == {"cyd-0": "alignment unlike text", "cyd-2": "malformed ctm"}
    assert "2 of 12 utterances go (16.67 %), 2 alignments" in str(todo)
    assert "1 utterances: not a tree: bob-1" in str(todo)
    apply(todo, max_lost=0.2)
    report = validate(made)
    assert not report.errors
    assert report.warnings == {"missing in ctm": 1, "missing in phones.ctm": 1}
    kept = [utterance.id for utterance in load(made)]
    assert len(kept) == 10 and not {"ann-1", "bob-1"} & set(kept)
    for name in ("text.raw", "utt2group", "utt2mood", "weather", "feats.scp", "utt2dur"):
        assert list(read_table(made / name)) == kept
    backup = made / ".backup"
    assert (backup / "feats.scp").read_bytes() == before["feats.scp"]
    assert set(read_table(backup / "dropped")) == {"ann-1", "bob-1", "cyd-0", "cyd-2"}
    assert contents(made)["README"] == before["README"]
    assert apply(plan(made)) == []


def test_repair_stops_when_too_much_would_go(made, capsys):
    edit(made / "text", "ann-1 play a song\n", "")
    before = contents(made)
    with pytest.raises(InputError, match=r"1 of 12 utterances \(8.33 %\) would go, more than 1 %"):
        commands.main(["repair", str(made)])
    assert "missing in text: ann-1" in capsys.readouterr().out
    assert contents(made) == before and not (made / ".backup").exists()
    commands.main(["repair", str(made), "--max_lost", "0.1"])
    assert len(load(made)) == 11


def test_repair_of_two_values_for_one_id_keeps_neither(made):
    edit(made / "text", "ann-0 play a song\n", "ann-0 play a song\nann-0 play a song\n")
    edit(made / "text", "bob-0 play a song\n", "bob-0 play a song\nbob-0 stop it\n")
    apply(plan(made), max_lost=0.1)
    kept = [utterance.id for utterance in load(made)]
    assert "ann-0" in kept and "bob-0" not in kept


def test_repair_refuses_to_guess_an_encoding_and_reports_what_is_left(made):
    (made / "text").write_bytes(contents(made)["text"].replace(b"song", b"caf\xe9", 1))
    with pytest.raises(InputError, match=r"text:1: byte 0xe9 is not UTF-8"):
        plan(made)
    edit_bytes = (made / "text").read_bytes().replace(b"caf\xe9", b"song")
    (made / "text").write_bytes(edit_bytes)
    edit(made / "spk2gender", "bob m\n", "")
    with pytest.raises(InputError, match="1 errors are left"):
        commands.main(["repair", str(made)])


def test_repair_leaves_lines_of_others_in_files_of_unknown_names(made):
    remarks = "cyd-0 noisy\n\nbob-1 far away\nTODO: ask bob\nann-0 good\nann-1 good\n"
    (made / "remarks").write_text(remarks)
    assert apply(plan(made)) == []
    edit(made / "text", "ann-1 play a song\n", "")
    edit(made / "utt2mood", "ann-0 ", "ann-00 glad\nann-0 ")
    todo = plan(made)
    assert "1 lines of remarks: about what is not left" in str(todo)
    assert "1 lines of utt2mood: utterances that are not in utt2spk" in str(todo)
    assert {"remarks", "weather"} <= set(apply(todo, max_lost=0.1))
    assert (made / "remarks").read_text() == remarks.replace("ann-1 good\n", "")
    assert (made / ".backup/remarks").read_text() == remarks
    assert "ann-1" not in read_table(made / "weather")


def test_repair_does_not_choose_between_two_values_of_a_speaker_or_two_speakers(made):
    edit(made / "spk2gender", "bob m\n", "bob m\nbob f\n")
    edit(made / "text", "bob-1 play", "bob-1\tplay ")
    before = (made / "spk2gender").read_text()
    with pytest.raises(InputError, match="1 errors are left"):
        commands.main(["repair", str(made)])
    assert (made / "spk2gender").read_text() == before
    (made / "utt2spk").unlink()
    spoken = (made / "spk2utt").read_text()
    for wrong, message in (
        (spoken.replace("bob-0", "bob-0 ann-0"), "spk2utt:2: 'ann-0' is also in line 1"),
        (spoken.replace("bob bob-0", "bob bob-0\nbob"), "spk2utt:2: 'bob' has a second line"),
    ):
        (made / "spk2utt").write_text(wrong)
        assert validate(made, NO_AUDIO).errors.keys() & {
            "utterance of two speakers",
            "duplicate key",
        }
        with pytest.raises(InputError, match=message):
            plan(made, NO_AUDIO)


def test_ids_in_another_encoding_go_and_are_counted_as_many_as_they_are(tmp_path):
    lines = (b"z-caf\xe8 z", b"z-caf\xe9 z", b"z-caf\xe9s z", b"z-x z")
    (tmp_path / "utt2spk").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "spk2utt").write_bytes(b"z z-caf\xe8 z-caf\xe9 z-caf\xe9s z-x\n")
    (tmp_path / "text").write_bytes(b"\n".join(lines) + b"\n")
    for missing in (None, "utt2spk"):
        if missing:
            (tmp_path / "spk2utt").write_bytes(b"z z-caf\xe8 z-caf\xe9 z-caf\xe9s z-x\n")
            (tmp_path / "text").write_bytes(b"\n".join(lines) + b"\n")
            (tmp_path / missing).unlink()
        todo = plan(tmp_path, drop_undecodable=True)
        assert "3 of 4 utterances go" in str(todo)
        assert r"not UTF-8: z-caf\xe8 z-caf\xe9 z-caf\xe9s" in str(todo)
        apply(todo, max_lost=0.9)
        assert read_table(tmp_path / "utt2spk") == {"z-x": "z"}
        assert not validate(tmp_path).errors


def test_recordings_whose_ids_cannot_stand_in_tables_go_with_their_segments(made):
    segmented(made)
    for name in ("wav.scp", "segments"):
        (made / name).write_text((made / name).read_text().replace("r1 ", "r\u00a01 "))
    apply(plan(made), max_lost=0.5)
    assert not validate(made).errors
    assert list(read_table(made / "wav.scp")) == ["r2"] and len(load(made)) == 8


def test_a_repair_that_cannot_write_names_the_file_and_leaves_no_copy(made):
    edit(made / "utt2mood", "ann-0 glad", "ann-0 gl\rad")
    edit(made / "text", "ann-1 play a song\n", "")
    before = contents(made)
    for _ in range(2):
        with pytest.raises(InputError, match=f"{made}/utt2mood: the value of .* a line break"):
            commands.main(["repair", str(made), "--max_lost", "0.1"])
    assert contents(made) == before and not list(made.glob(".backup*"))


def test_repair_of_nothing_says_so(tmp_path):
    with pytest.raises(InputError, match="has no utterances to repair"):
        commands.main(["repair", str(tmp_path)])
    with pytest.raises(InputError, match="--nj is -1; expected at least 0"):
        commands.main(["validate", str(tmp_path), "--nj", "-1"])


def test_comments_of_a_ctm_are_no_lines_of_utterances(made):
    (made / "ctm").write_text(";; aligned by hand\n" + (made / "ctm").read_text())
    report = validate(made)
    assert not report.errors and not report.warnings
    assert apply(plan(made)) == []
    tools.subset(made, made.parent / "out", tools.first(1))
    assert list(read_table(made.parent / "out" / "ctm", repeated=True)) == ["ann-0"]


def test_repair_leaves_sound_files_as_they_are_even_with_tabs(made):
    for name in ("text", "weather"):
        (made / name).write_text((made / name).read_text().replace(" ", "\t"))
    before = contents(made)
    assert apply(plan(made)) == []
    assert contents(made) == before and not (made / ".backup").exists()


def test_repair_makes_utt2spk_and_spk2utt_from_each_other(made):
    before = contents(made)
    for name in ("utt2spk", "spk2utt"):
        (made / name).unlink()
        assert validate(made, NO_AUDIO).errors
        apply(plan(made, NO_AUDIO))
        assert contents(made) == before


KEYED_BY_UTTERANCE = (
    "text",
    "text.raw",
    "semantics",
    "ctm",
    "phones.ctm",
    "feats.scp",
    "utt2dur",
    "utt2num_frames",
    "utt2group",
    "utt2mood",
    "weather",
    "wav.scp",
    "reco2dur",
)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--utterances", "4"], ["ann-0", "ann-3", "bob-2", "cyd-1"]),
        (["--first", "2"], ["ann-0", "ann-1"]),
        (["--shortest", "2"], ["ann-0", "ann-1"]),
        (["--speakers", "1"], ["ann-0", "ann-1", "ann-2", "ann-3"]),
        (["--list", "LIST"], ["ann-2", "cyd-3"]),
        (["--speaker_list", "LIST"], ["bob-0", "bob-1", "bob-2", "bob-3"]),
    ],
)
def test_a_subset_is_consistent_in_every_file(made, arguments, expected):
    out = made.parent / "out"
    chosen = made.parent / "list"
    chosen.write_text("bob\n" if "--speaker_list" in arguments else "cyd-3\nann-2\n")
    arguments = [str(chosen) if a == "LIST" else a for a in arguments]
    commands.main(["subset", *arguments, str(made), str(out)])
    assert not validate(out).errors
    assert not validate(out).warnings.keys() - {"one speaker"}
    speakers = sorted({utterance.split("-")[0] for utterance in expected})
    for name in KEYED_BY_UTTERANCE:
        assert list(read_table(out / name, repeated=name in ALIGNMENTS)) == expected
        assert set(contents(out)[name].splitlines()) <= set(contents(made)[name].splitlines())
    for name in ("spk2utt", "spk2voice", "spk2gender", "accents"):
        assert list(read_table(out / name)) == speakers
    assert (out / "frame_shift").read_text() == "0.01\n"


def test_a_subset_of_what_is_aligned_leaves_out_whose_words_have_no_times(made):
    lines = (made / "ctm").read_text().splitlines(keepends=True)
    (made / "ctm").write_text("".join(x for x in lines if x.split()[0] in ("ann-1", "cyd-2")))
    commands.main(["subset", "--aligned", str(made), str(made.parent / "out")])
    assert list(read_table(made.parent / "out" / "text")) == ["ann-1", "cyd-2"]
    tools.subset(made, made.parent / "out", lambda data: ["bob-0"])
    assert not (made.parent / "out" / "ctm").exists()  # that of other utterances
    (made / "ctm").unlink()
    with pytest.raises(InputError, match="no ctm.*atat align"):
        commands.main(["subset", "--aligned", str(made), str(made.parent / "other")])


def test_a_subset_of_segments_takes_their_recordings_only(made):
    tools.subset(segmented(made), made.parent / "out", tools.first(2))
    assert list(read_table(made.parent / "out" / "wav.scp")) == ["r1"]
    assert not validate(made.parent / "out").errors


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--first", "13"], "13 utterances asked for; expected 1 to 12"),
        (["--speakers", "0"], "0 speakers asked for; expected 1 to 3"),
        (["--list", "LIST"], "list:2: there is no utterance 'nobody-1'"),
    ],
)
def test_an_impossible_subset_is_refused(made, arguments, message):
    (made.parent / "list").write_text("ann-1\nnobody-1\n")
    arguments = [str(made.parent / "list") if a == "LIST" else a for a in arguments]
    with pytest.raises(InputError, match=message):
        commands.main(["subset", *arguments, str(made), str(made.parent / "out")])
    assert not (made.parent / "out").exists()


def test_tools_refuse_a_dir_that_is_not_sound(made):
    edit(made / "text", "ann-1 play a song\n", "")
    with pytest.raises(InputError, match="text: no line for 'ann-1'"):
        tools.subset(made, made.parent / "out", tools.first(2))
    with pytest.raises(InputError, match="choose another name"):
        tools.subset(made, made, tools.first(2))


def test_parts_of_a_split_combine_to_the_whole(made):
    parts = tools.split(made, 3)
    assert [part.name for part in parts] == ["1", "2", "3"]
    assert all(len({u.speaker for u in load(part)}) == 1 for part in parts)
    assert tools.combine(made.parent / "again", parts) == []
    before = contents(made)
    before.pop("README")
    assert contents(made.parent / "again") == before
    parts = tools.split(made, 5, per_utterance=True)
    assert parts[0] == made / "split5utt" / "1"
    assert sorted(len(load(part)) for part in parts) == [2, 2, 2, 3, 3]
    with pytest.raises(InputError, match="4 parts of 3 speakers"):
        tools.split(made, 4)


def test_combine_says_what_it_leaves_out_and_refuses_conflicts(made, capsys):
    one, two, out = made.parent / "one", made.parent / "two", made.parent / "out"
    tools.subset(made, one, tools.first(4))
    tools.subset(made, two, lambda data: [u for u in data.speakers if u.startswith("bob")])
    for name in ("semantics", "utt2mood", "ctm"):
        (two / name).unlink()
    commands.main(["combine", str(out), str(one), str(two)])
    shown = capsys.readouterr().out
    assert "left out: semantics" in shown and "left out: utt2mood" in shown
    assert "8 utterances, 2 speakers" in shown
    assert not validate(out).errors
    assert validate(out).warnings == {"missing in ctm": 4}
    with pytest.raises(InputError, match=r"text.*:1: 'ann-0' is also in|'ann-0' is also in"):
        tools.combine(out, [one, one])
    text_only = made.parent / "text_only"
    write_tables(text_only, {"utt2spk": {"zed-1": "zed"}, "text": {"zed-1": "hello"}})
    with pytest.raises(InputError, match="text-only dirs apart"):
        tools.combine(out, [one, text_only])
    with pytest.raises(InputError, match="one of the dirs to join"):
        tools.combine(two, [one, two])


def test_combine_gives_segments_to_dirs_without(made):
    one, two, out = made.parent / "one", made.parent / "two", made.parent / "out"
    tools.subset(made, one, tools.first(4))
    tools.subset(segmented(made), two, lambda data: [u for u in data.speakers if u[0] == "b"])
    wavs, lengths = read_table(one / "wav.scp"), read_table(one / "utt2dur")
    write_tables(one, {"utt2dur": {**lengths, "ann-1": "0.45"}})
    tools.combine(out, [one, two])
    assert not validate(out).errors
    segments = read_table(out / "segments")
    assert segments["ann-1"] == f"ann-1 0 {audio.duration(wavs['ann-1']):g}"  # no utt2dur
    assert segments["bob-1"] == "r2 0.5 1.0"
    assert all(one.duration for one in load(out))
    wavs |= {"ann-1": "cat a.wav |", "ann-2": "/another/machine/a.wav"}
    write_tables(one, {"wav.scp": wavs})
    tools.combine(out, [one, two])
    segments = read_table(out / "segments")
    assert (segments["ann-1"], segments["ann-2"]) == ("ann-1 0 -1", "ann-2 0 -1")


def test_combine_refuses_dirs_that_have_no_sound_or_no_utterances_in_common(made):
    one, two, out = made.parent / "one", made.parent / "two", made.parent / "out"
    tools.subset(made, one, tools.first(2))
    tools.subset(made, two, lambda data: ["bob-0"])
    (one / "feats.scp").unlink()
    (two / "wav.scp").unlink()
    with pytest.raises(InputError, match=f"{two}: has feats.scp but no wav.scp, and {one} wav.scp"):
        tools.combine(out, [one, two])
    write_tables(made.parent / "empty", {"utt2spk": {}, "text": {}})
    with pytest.raises(InputError, match="have no utterances"):
        tools.combine(out, [made.parent / "empty"])
    assert not out.exists()


def test_the_shortest_of_recordings_below_a_root(made):
    wavs = read_table(made / "wav.scp")
    write_tables(
        made,
        {"wav.scp": {key: Path(path).name for key, path in wavs.items()}},
        remove=["utt2dur", "utt2num_frames"],
    )
    root = str(made.parent / "wavs")
    commands.main(["subset", "--shortest", "2", "--root", root, str(made), str(made.parent / "o")])
    assert list(read_table(made.parent / "o" / "wav.scp")) == ["ann-0", "ann-1"]


def test_relocate_rewrites_whole_path_parts_only(made):
    old, new = made.parent / "wavs", made.parent / "moved"
    edit(made / "wav.scp", f"{old}/ann-1.wav", f"sox {old}/ann-1.wav -t wav - |")
    edit(made / "wav.scp", f"{old}/ann-2.wav", f"{old}2/ann-2.wav")
    old.rename(new)
    commands.main(["relocate", str(made), "--old", f"{old}/", "--new", str(new)])
    table = read_table(made / "wav.scp")
    assert table["ann-0"] == f"{new}/ann-0.wav"
    assert table["ann-1"] == f"sox {new}/ann-1.wav -t wav - |"
    assert table["ann-2"] == f"{old}2/ann-2.wav"
    with pytest.raises(InputError, match="no path in its scp files begins with '/nowhere'"):
        tools.relocate(made, "/nowhere", "/x")


def test_relocate_moves_all_absolute_paths_and_single_arks(made):
    edit(made / "wav.scp", f"{made.parent}/wavs/ann-1.wav", "sox '/a b.wav' -t wav - | cat |")
    tools.relocate(made, "/", "/mnt/")
    table = read_table(made / "wav.scp")
    assert table["ann-0"] == f"/mnt{made.parent}/wavs/ann-0.wav"
    assert table["ann-1"] == "sox '/mnt/a b.wav' -t wav - | cat |"
    tools.relocate(made, f"/mnt{made.parent}/feats.ark", "/new.ark")
    assert read_table(made / "feats.scp")["ann-1"] == "/new.ark:100"


def test_normalize_makes_words_spoken_and_keeps_what_was_published(made):
    (made / "ctm").unlink()
    (made / "text.raw").unlink()
    edit(made / "text", "ann-0 play a song", "ann-0 Play song 7!")
    edit(made / "semantics", f"ann-0 {TREE}", "ann-0 [IN:PLAY Play [SL:THING song 7 ] ]")
    published = (made / "text").read_bytes()
    assert validate(made).warnings["text not normalised"] == 1
    commands.main(["normalize", str(made)])
    assert read_table(made / "text")["ann-0"] == "play song seven"
    assert read_table(made / "semantics")["ann-0"] == "[IN:PLAY play [SL:THING song seven ] ]"
    assert (made / "text.raw").read_bytes() == published
    assert not validate(made).warnings
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    commands.main(["normalize", str(made)])
    assert before == {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("weather", "ann-0 rain\n", "ann-0 rain\n", "has a ctm"),
        ("text", "ann-1 play a song", "ann-1 !?", r"text:2: no words are left of '!\?' \(ann-1\)"),
        ("semantics", f"ann-1 {TREE}", "ann-1 [IN:PLAY play", "semantics:2: ann-1: "),
    ],
)
def test_normalize_refuses_what_it_would_spoil(made, name, old, new, message):
    if name != "weather":
        (made / "ctm").unlink()
    edit(made / name, old, new)
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=message):
        commands.main(["normalize", str(made)])
    assert before == {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}


def test_a_path_that_goes_up_starts_where_a_link_leads(made):
    """As the system opens it, not as its text reads."""
    write_tables(made, {"wav.scp": {u: f"../wavs/{u}.wav" for u in read_table(made / "wav.scp")}})
    link = made.parent / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(made)
    assert load(link)[0].wav == str(made.parent / "wavs" / "ann-0.wav")
    assert not validate(link).errors


def test_published_trees_are_complete_or_an_error_and_belong_to_their_dir(made, tmp_path):
    write_tables(made, {"semantics.raw": {"ann-0": TREE}})
    assert validate(made).errors["missing in semantics.raw"] == 11
    item = own_corpus.Item(Utterance("x-1", "x", text="play", semantics="[IN:PLAY play ]"), "", "")
    imported.write(made, {"": [item]}, "")
    assert not (made / "semantics.raw").exists()


def test_info_counts(made, capsys):
    commands.main(["info", str(made)])
    out = capsys.readouterr().out
    assert "12 utterances, 3 speakers, 0.00 h, 36 words (3 different), 1 intents and 1 slots" in out


def test_real_corpora_validate(data_root, tmp_path):
    root = data_root / "speechocean762"
    report = validate(root / "test", AudioOptions(check_audio=False, root=root))
    assert not report.errors
    assert report.warnings["id without its speaker"] == 1260  # "000030012" of speaker "0003"
    assert report.warnings["not sorted"] == 1  # spk2age, which Kaldi does not know
    arguments = ["--first", "3", "--root", str(root), str(root / "test"), str(tmp_path / "few")]
    commands.main(["subset", *arguments])
    assert not validate(tmp_path / "few").errors  # reads the Opus files


def test_a_dir_made_by_kaldi_validates_and_is_cut(data_root, tmp_path):
    folder = data_root / "kaldi_truth" / "datadir"
    assert validate(folder).warnings["shell pipe"] == 3
    report = validate(folder, AudioOptions(allow_pipes=True))
    # Its publisher moved one segment by a second, beyond the end of its recording.
    assert report.errors == {"segment out of bounds": 1}
    assert report.lost == {"lbi-3536-23268-0000": "segment out of bounds"}
    shutil.copytree(folder, tmp_path / "copy")
    apply(plan(tmp_path / "copy", AudioOptions(allow_pipes=True)), max_lost=0.5)
    assert len(load(tmp_path / "copy")) == 2
    tools.subset(folder, tmp_path / "two", tools.first(2))
    feats = read_table(tmp_path / "two" / "feats.scp")
    assert feats["lbi-6241-61943-0000"] == (f"{folder}/data/raw_mfcc_mini_librispeech2.1.ark:25996")


def test_other_channels_are_refused_as_segments_would_be_cut_from_the_first(made):
    segmented(made)
    segments = read_table(made / "segments")
    write_tables(made, {"segments": {u: f"{row} 0" for u, row in segments.items()}})
    assert load(made)[0].start == 0
    write_tables(made, {"segments": {u: f"{row} 1" for u, row in segments.items()}})
    with pytest.raises(InputError, match="segments:1: found channel '1'; .* a file of its own"):
        load(made)


def test_a_new_dir_has_nothing_of_the_old_one_in_its_place(made, tmp_path):
    """Neither of tables that are known nor of others."""
    tools.subset(made, tmp_path / "new", lambda data: list(data.speakers))
    for name in ("text.raw", "ctm", "utt2group", "utt2mood"):
        (made / name).unlink()
    (tmp_path / "new" / "notes").write_text("ann-0 listen again\n")  # of the user's, no table
    tools.subset(made, tmp_path / "new", lambda data: list(data.speakers)[:2])
    assert not validate(tmp_path / "new").errors
    assert not any((tmp_path / "new" / name).exists() for name in ("text.raw", "ctm", "utt2mood"))
    words = Utterance("x-1", "x", text="play", semantics="[IN:PLAY play ]")
    imported.write(tmp_path / "new", {"": [own_corpus.Item(words, "", "")]}, "")
    assert not validate(tmp_path / "new").errors
    assert (tmp_path / "new" / "notes").is_file()
    (tmp_path / "new" / "notes").unlink()
    left = {path.name for path in (tmp_path / "new").iterdir() if not path.name.startswith(".")}
    assert left <= {"utt2spk", "spk2utt", "text", "semantics", "license", "weather", "accents"}
