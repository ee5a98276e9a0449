"""egs/template: the table of utterances, trees of slots, the split, data dirs for any columns."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, own_corpus, parts, tables, utterance_table
from atat.prepare import conf_copy, conf_fit
from atat.speech import audio
from atat.systems.joint.settings import TrainSettings
from atat.text import slot_trees
from atat.text import trees as semantics
from atat.text.trees import Tree

RECIPE = Path(__file__).resolve().parent.parent / "egs" / "template"
LOCAL = RECIPE / "local"
TONE = np.sin(np.arange(3200, dtype=np.float32) / 9)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_as_programs_write_it(
    tmp_path: Path, separator: str, mark: str, end: str
) -> None:
    cells = [
        ["Intent", " text ", "path"],
        ["stop", "Stop  it", "a  b.wav"],
        ["", "", ""],
        ["go on", "go", ""],
    ]
    path = tmp_path / "u.csv"
    path.write_bytes((mark + "".join(separator.join(row) + end for row in cells)).encode())
    table = utterance_table.read(path)
    assert [(row.where, row.path, row.text, row.intent) for row in table.rows] == [
        (f"{path}:2", "a  b.wav", "Stop it", "stop"),
        (f"{path}:4", "", "go", "go on"),
    ]
    assert not table.unread and not table.has("speaker") and table.has("path")


def test_a_row_is_named_by_its_first_line(tmp_path: Path) -> None:
    lines = ["path,text", '1.wav,"two', 'lines"', "2.wav,three,4", "3.wav,x"]
    path = write(tmp_path / "u.csv", *lines)
    table = utterance_table.read(path)
    assert [row.where for row in table.rows] == [f"{path}:2", f"{path}:5"]
    assert table.rows[0].text == "two lines"
    assert len(table.broken) == 1
    assert table.broken[0].startswith(f"{path}:4: 3 cells, the header has 2")


@pytest.mark.parametrize(
    "lines, line, message",
    [
        (
            ["path,speeker,text", "a,b,c"],
            1,
            "'speeker' is not known and 'speaker' is missing; rename",
        ),
        (["path,text,text", "a,b,c"], 1, "'text' occurs twice"),
        (["path,text,slots", "a,b,c"], 1, "a column slots without intent"),
        (
            ["path,speaker", "a,b"],
            1,
            "nothing can be learned from the columns path, speaker; expected",
        ),
        (["tree", "[IN:A ]"], 1, "expected path and one of text, tree, intent; or text and one of"),
        (["a.wav,stop"], 1, "nothing can be learned from the columns a.wav, stop"),
        (["path,text", "a,b", 'c,"d'], 3, "the quotes of this row do not match"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], line: int, message: str
) -> None:
    path = write(tmp_path / "u.csv", *lines)
    with pytest.raises(InputError) as error:
        utterance_table.read(path)
    assert str(error.value).startswith(f"{path}:{line}: ") and message in str(error.value)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"path,text\n\xe4.wav,b\n", r"u.csv:2: byte 0xe4 is not UTF-8; save the file as"),
        ("path,text\n".encode("utf-16"), "is UTF-16, expected a csv file in UTF-8"),
        (b"PK\x03\x04", "is an Excel workbook"),
        (b"path,text\n\n", "no row below the header can be read"),
        (b"", "nothing can be learned from the columns nothing"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "u.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        utterance_table.read(tmp_path / "u.csv")


def test_other_columns_are_not_read_and_said(tmp_path: Path) -> None:
    table = utterance_table.read(write(tmp_path / "u.csv", "path,room,text,age", "a,kitchen,b,7"))
    assert table.unread == ["room", "age"]


# ------------------------------------------------------------------------------ trees of slots


@pytest.mark.parametrize(
    "intent, slots, text, tree",
    [
        (
            "play music",
            "song=silver river; artist=Maria Bennett",
            "play silver river by maria bennett",
            "[IN:PLAY_MUSIC play [SL:SONG silver river ] by [SL:ARTIST maria bennett ] ]",
        ),
        ("IN:STOP", "", "stop it", "[IN:STOP stop it ]"),
        (
            "fly",
            '{"to": ["york", "new york"], "class": null}',
            "to new york and york",
            "[IN:FLY to [SL:TO new york ] and [SL:TO york ] ]",
        ),
        (
            "wake-up",
            "time=9:30; day = 2",
            "at nine thirty in two days",
            "[IN:WAKE_UP at [SL:TIME nine thirty ] in [SL:DAY two ] days ]",
        ),
        (
            "move",
            "from=one;to=one",
            "from one to one",
            "[IN:MOVE from [SL:FROM one ] to [SL:TO one ] ]",
        ),
        ("play", "b=last words; a=x", None, "[IN:PLAY [SL:B last words ] [SL:A x ] ]"),
    ],
)
def test_values_are_located(intent: str, slots: str, text: str | None, tree: str) -> None:
    found = slot_trees.build(intent, slot_trees.parse_slots(slots), text)
    assert semantics.to_string(found.tree) == tree
    assert found.ambiguous == ()


def test_a_flat_tree_comes_back_from_its_slots() -> None:
    rng = random.Random(3)
    for _ in range(200):
        words = [f"w{number}" for number in rng.sample(range(50), rng.randint(1, 12))]
        words = [word.replace("w", "word") + "x" for word in words]  # no digits to normalise
        words = ["".join(chr(97 + int(c)) if c.isdigit() else c for c in word) for word in words]
        children: list[Tree | str] = []
        slots: list[tuple[str, str]] = []
        at = 0
        while at < len(words):
            size = rng.randint(1, 3)
            span = tuple(words[at : at + size])
            if rng.random() < 0.5:
                name = rng.choice("abc")
                slots.append((name, " ".join(span)))
                children.append(Tree(f"SL:{name.upper()}", span))
            else:
                children += span
            at += size
        rng.shuffle(slots)
        found = slot_trees.build("x", slots, " ".join(words))
        assert found.tree == Tree("IN:X", tuple(children)) and not found.ambiguous


def test_a_value_that_stands_twice_is_doubtful() -> None:
    found = slot_trees.build("set", [("to", "two")], "set two to two")
    assert semantics.to_string(found.tree) == "[IN:SET set [SL:TO two ] to two ]"
    assert found.ambiguous == ("to",)


@pytest.mark.parametrize(
    "intent, slots, message",
    [
        (
            "play",
            "song=blue river",
            "'blue river' of the slot 'song' is not in the text 'play silver",
        ),
        ("play", "song=river; artist=river", "another slot has taken its words"),
        ("play", "song", "found the slot 'song'; expected name=value"),
        ("play", "song=", "expected name=value"),
        ("play", "song=?", "which has no words"),
        ("...", "", "the intent '...' has no letters"),
        ("play", '{"song": }', "the slots are not JSON"),
        ("play", '["song"]', 'expected {"name": "value"'),
        ("play", '{"song": {"a": 1}}', "the slot 'song' has the value {'a': 1}"),
    ],
)
def test_wrong_slots(intent: str, slots: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        slot_trees.build(intent, slot_trees.parse_slots(slots), "play silver river")
    assert message in str(error.value)


# -------------------------------------------------------------------------------------- parts


def test_groups_are_whole_and_parts_have_their_shares_whatever_the_order() -> None:
    rng = random.Random(0)
    groups = [f"speaker{rng.randint(0, 40)}" for _ in range(1000)]
    found = parts.split(groups, dev=0.1, test=0.2)
    count = {part: sum(found[group] == part for group in groups) for part in parts.PARTS}
    assert 80 <= count["dev"] <= 100 and 170 <= count["test"] <= 200
    rng.shuffle(groups)
    assert parts.split(groups, dev=0.1, test=0.2) == found


def test_one_that_says_nearly_all_is_in_train() -> None:
    groups = ["a"] * 5 + ["b"] * 100 + ["c"] * 7 + ["d"] * 4
    found = parts.split(groups, dev=0.01, test=0.01)
    assert found == {"d": "test", "a": "dev", "b": "train", "c": "train"}
    assert set(parts.split("xy", dev=0.1, test=0.2).values()) == {"train"}


# ---------------------------------------------------------------------------------- data dirs


def make_corpus(folder: Path, speakers: int = 6, each: int = 5) -> list[str]:
    """Tones of some speakers; the rows path,speaker,text,intent,slots."""
    rows = []
    for speaker in range(speakers):
        for number in range(each):
            path = folder / f"s{speaker}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.save(path, TONE)
            rows.append(
                f"s{speaker}/{number}.wav,Speaker {speaker},Play {number}!,play,song={number}"
            )
    return rows


def prepare(local: Any, folder: Path, *lines: str, options: tuple[str, ...] = ()) -> Path:
    folder.mkdir(exist_ok=True)
    csv = write(folder / "utterances.csv", *lines)
    local("prepare").main(
        ["--corpus", str(folder), "--csv", str(csv), "--out", str(folder / "data"), *options]
    )
    return folder / "data"


def without(rows: list[str], *columns: int) -> list[str]:
    return [
        ",".join(cell for number, cell in enumerate(row.split(",")) if number not in columns)
        for row in ["path,speaker,text,intent,slots", *rows]
    ]


def made(data: Path) -> dict[str, list[kaldi_dir.Utterance]]:
    return {name: kaldi_dir.load(data / name) for name in own_corpus.SETS if (data / name).is_dir()}


def test_all_columns_give_three_sets_of_other_speakers(
    local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = prepare(local, tmp_path, *without(make_corpus(tmp_path)))
    sets = made(data)
    assert list(sets) == ["train", "dev", "test"]
    assert [len(part) for part in sets.values()] == [20, 5, 5]
    speakers = [{one.speaker for one in part} for part in sets.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 6
    one = sets["test"][0]
    assert one.text == "play zero" and one.semantics == "[IN:PLAY play [SL:SONG zero ] ]"
    assert tables.read_table(data / "test" / "text.raw")[one.id] == "Play 0!"
    assert (data / "decodings").read_text() == "test slu\ntest asr\ntest nlu\n"
    printed = capsys.readouterr().out
    assert "in train, too: 5 of 5 sentences (100.0 %), 0 of 1 speakers" in printed
    assert "no column" not in printed


@pytest.mark.parametrize("decodings", ["", "test slu\n", "test slu\ntest_nlu nlu\n"])
def test_each_decoding_is_run_and_none_of_an_empty_list(tmp_path: Path, decodings: str) -> None:
    (tmp_path / "decodings").write_text(decodings)
    script = '. "$0/sets.sh"; tests echo decode'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, str(LOCAL)],
        env={**os.environ, "data": str(tmp_path), "csv": "u.csv", "grammar": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "".join(f"decode {line}\n" for line in decodings.splitlines())


@pytest.mark.parametrize(
    "columns, sets, decodings, remark",
    [
        (
            (2,),
            ["train", "dev", "test"],
            ["test slu"],
            "Lost: asr and nlu, and the loss on the words",
        ),
        ((3, 4), ["train_asr", "dev_asr", "test_asr"], ["test_asr asr"], "Lost: slu and nlu"),
        (
            (0, 1),
            ["train_nlu", "dev_nlu", "test_nlu"],
            ["test_nlu nlu"],
            "no column path: only nlu",
        ),
        (
            (1,),
            ["train", "dev", "test"],
            ["test slu", "test asr", "test nlu"],
            "every recording is a speaker of its own, since nobody knows who speaks",
        ),
    ],
)
def test_missing_columns_take_tasks_away_and_it_is_said(
    local: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    columns: tuple[int, ...],
    sets: list[str],
    decodings: list[str],
    remark: str,
) -> None:
    data = prepare(local, tmp_path, *without(make_corpus(tmp_path), *columns))
    found = made(data)
    assert list(found) == sets and sum(map(len, found.values())) == 30
    assert (data / "decodings").read_text().splitlines() == decodings
    assert remark in capsys.readouterr().out
    # The conf has just the sources that can be read, and is one that trains.
    audio_dirs = [name for name in sets if (data / name / "wav.scp").exists()]
    conf_copy.main(
        [
            str(RECIPE / "conf/cpu.yaml"),
            "--fit",
            "--move",
            "data",
            str(data),
            "--out",
            str(tmp_path),
        ]
    )
    settings = config.load(tmp_path / "cpu.yaml", TrainSettings)
    trained = [line.rpartition(" ")[2] for line in decodings]
    assert [source.task for source in settings.train] == trained
    assert [Path(source.data).name for source in settings.valid.sources] == [sets[1]]
    assert (settings.cmvn is not None) == bool(audio_dirs)


def test_without_speakers_every_recording_is_one(local: Any, tmp_path: Path) -> None:
    data = prepare(local, tmp_path, *without(make_corpus(tmp_path), 1))
    for part in made(data).values():
        assert all(one.speaker == one.id for one in part)


def test_few_speakers_are_in_all_parts_and_it_is_said(
    local: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_corpus(tmp_path, speakers=2, each=15)
    sets = made(prepare(local, tmp_path, *without(rows)))
    assert [len(part) for part in sets.values()] == [21, 3, 6]
    assert {one.speaker for one in sets["train"]} == {"Speaker_0", "Speaker_1"}
    printed = capsys.readouterr().out
    assert "2 speakers are too few to keep some for the test (at least 5)" in printed


def test_rows_of_all_kinds_and_no_test_speaker_or_sentence_is_in_training(
    local: Any, tmp_path: Path
) -> None:
    rows = make_corpus(tmp_path, speakers=8, each=6)
    rows = [row.rpartition(",play,")[0] + ",," if "/5." in row else row for row in rows]
    rows += [f",,play {number},play,song={number}" for number in range(40)]
    sets = made(prepare(local, tmp_path, *without(rows)))
    assert list(sets) == list(own_corpus.SETS)
    assert sum(map(len, sets.values())) == 88
    for part in ("dev", "test"):
        tested = sets[part] + sets[f"{part}_asr"]
        heard = {one.speaker for one in sets["train"] + sets["train_asr"]}
        assert not heard & {one.speaker for one in tested}
        assert not {one.text for one in sets["train_nlu"]} & {one.text for one in tested}


def test_audio_of_any_form_is_converted_once(local: Any, tmp_path: Path) -> None:
    import soundfile

    rows = make_corpus(tmp_path)
    stereo = np.stack([np.repeat(TONE, 3), np.zeros(9600)], axis=1)
    soundfile.write(tmp_path / "s0" / "0.flac", stereo, 48000)
    rows[0] = rows[0].replace("0.wav", "0.flac")
    data = prepare(local, tmp_path, *without(rows))
    one = next(one for part in made(data).values() for one in part if "data/wavs" in str(one.wav))
    samples = audio.load(str(one.wav))
    assert abs(len(samples) - 3200) < 3 and np.abs(samples).max() > 0.5
    before = Path(str(one.wav)).stat().st_mtime_ns
    prepare(local, tmp_path, *without(rows))
    assert Path(str(one.wav)).stat().st_mtime_ns == before


def test_what_cannot_be_used_is_listed_by_line_and_too_much_stops(
    local: Any, tmp_path: Path
) -> None:
    rows = make_corpus(tmp_path)
    rows[1] = rows[1].replace("s0/1.wav", "s0/nowhere.wav")
    rows[2] = rows[2].replace("song=2", "song=seven")
    rows[3] += ",more"
    rows[5] = rows[4]
    with pytest.raises(InputError) as error:
        prepare(local, tmp_path, *without(rows))
    csv = tmp_path / "utterances.csv"
    assert "3 of 29 rows must be left out, more than --max_lost 0.01" in str(error.value)
    assert f"The first: {csv}:5: 6 cells, the header has 5" in str(error.value)
    data = prepare(local, tmp_path, *without(rows), options=("--max_lost", "0.2"))
    listed = (data / "findings.txt").read_text()
    assert f"{csv}:3: {tmp_path}/s0/nowhere.wav: no such audio file" in listed
    assert f"{csv}:4: the value 'seven' of the slot 'song' is not in the text 'play two'" in listed
    assert f"{csv}:7: s0/4.wav, first in {csv}:6" in listed
    assert sum(map(len, made(data).values())) == 26


@pytest.mark.parametrize(
    "row, message",
    [
        ("s0/0.wav,a,...,play,", "no words in the column text, found '...'"),
        (",a,play,,", "neither a recording nor a text with a meaning"),
        ("s0/0.wav,a,play,,song=play", "slots 'song=play' without an intent"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(
    local: Any, tmp_path: Path, row: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        prepare(local, tmp_path, *without([*make_corpus(tmp_path)[1:], row]))
    assert f"utterances.csv:31: {message}" in str(error.value)


def test_trees_are_taken_as_they_are_and_checked(local: Any, tmp_path: Path) -> None:
    make_corpus(tmp_path)
    tree = "[IN:PLAY [SL:SONG [IN:GET Last 2 ] ] ]"
    lines = ["path,tree", *(f"s{n % 5}/{n // 5}.wav,{tree}" for n in range(25))]
    data = prepare(local, tmp_path, *lines)
    trees = {one.semantics for part in made(data).values() for one in part}
    assert trees == {"[IN:PLAY [SL:SONG [IN:GET last two ] ] ]"}
    lines[3] = "s0/2.wav,[IN:PLAY"
    with pytest.raises(InputError, match=r"utterances.csv:4: the tree ends after token 1"):
        prepare(local, tmp_path, *lines)


def test_data_dirs_of_an_earlier_table_go(local: Any, tmp_path: Path) -> None:
    rows = make_corpus(tmp_path)
    data = prepare(local, tmp_path, *without(rows, 3, 4))
    (data / "train").mkdir()
    (data / "train" / "ctm").write_text("gone 1 0 0.5 play\n")
    assert list(made(prepare(local, tmp_path, *without(rows)))) == ["train", "dev", "test"]
    assert not (data / "train" / "ctm").exists()


def test_a_conf_without_data_is_refused(tmp_path: Path) -> None:
    values = {"train": [{"data": str(tmp_path / "no"), "task": "slu"}], "steps": 3}
    told: list[str] = []
    with pytest.raises(InputError, match="conf.yaml: key `train`: no source can be read"):
        conf_fit.fitted(values, "conf.yaml", told.append)
    assert told == [f"conf.yaml: train: slu of {tmp_path}/no is left out: no such data dir"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": 5}, "`train` is 5; expected a list of sources"),
        ({"train": ["asr"]}, "`train.0.` is 'asr'; expected `data` and `task`"),
        ({"train": [{"task": "asr"}]}, "`train.0.` is .*expected `data` and `task`"),
        ({"train": [{"data": "a", "task": "asx"}]}, "`train.0..task`: unknown task 'asx'"),
        ({"valid": 5}, "`valid` is 5; expected further keys"),
        ({"valid": {"sources": 5}}, "`valid.sources` is 5; expected a list"),
    ],
)
def test_what_is_no_source_is_named(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    (tmp_path / "text").touch()
    (tmp_path / "semantics").touch()
    good = {"train": [{"data": str(tmp_path), "task": "nlu"}]}
    with pytest.raises(InputError, match=f"conf.yaml: key {message}"):
        conf_fit.fitted({**good, **values}, "conf.yaml")


def test_the_recipe_is_short() -> None:
    """It is there to be read and copied."""
    assert len((RECIPE / "run.sh").read_text().splitlines()) <= 85
    assert len((LOCAL / "prepare.py").read_text().splitlines()) <= 60
