"""Data dirs of csv files, audio folders and lhotse's manifests: ids stay, bad rows are named."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import (
    check,
    files,
    grammar_command,
    imported,
    kaldi_dir,
    licence,
    own_corpus,
    tables,
)
from atat.datadir.commands import main
from atat.speech import audio

TONE = np.sin(np.arange(16000, dtype=np.float32) / 9) / 2
TREE = "[IN:PLAY play [SL:SONG river ] ]"


def wavs(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio.save(folder / name, TONE)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files but the hidden one that says where an import wrote."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("segments", [False, True])
def test_to_lhotse_and_back_is_the_same_data_dir(tmp_path: Path, segments: bool) -> None:
    wavs(tmp_path, "a.wav", "b.wav")
    parts = [(0.0, 0.4), (0.123457, 0.987654)] if segments else [(None, None)]
    kaldi_dir.write(
        tmp_path / "one",
        [
            kaldi_dir.Utterance(
                f"s{name}-{number}",
                f"s{name}",
                wav=str(tmp_path / f"{name}.wav"),
                start=start,
                end=end,
                duration=1.0 if start is None or end is None else round(end - start, 6),
                text="play river",
                semantics=TREE,
                recording=f"rec{name}" if segments else None,
            )
            for name in "ab"
            for number, (start, end) in enumerate(parts)
        ],
    )
    main(["to-lhotse", str(tmp_path / "one"), str(tmp_path / "man")])
    man = tmp_path / "man"
    both = [
        "--recordings",
        str(man / "recordings.jsonl.gz"),
        "--supervisions",
        str(man / "supervisions.jsonl.gz"),
    ]
    main(["from-lhotse", str(tmp_path / "two"), *both])
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_a_whole_recording_stays_whole_over_lhotse(tmp_path: Path) -> None:
    """Though utt2dur is not exact: no segment cuts it, and its licence comes along."""
    wavs(tmp_path, "a.wav")
    one = kaldi_dir.Utterance("a", "a", wav=str(tmp_path / "a.wav"), duration=0.95, text="play")
    kaldi_dir.write(tmp_path / "one", [one])
    licence.write(tmp_path / "one", "A: a")
    man = tmp_path / "man"
    main(["to_lhotse", str(tmp_path / "one"), str(man)])
    both = ["--recordings", str(man / "recordings.jsonl.gz")]
    both += ["--supervisions", str(man / "supervisions.jsonl.gz")]
    main(["from_lhotse", str(tmp_path / "two"), *both])
    (found,) = kaldi_dir.load(tmp_path / "two")
    assert (found.start, found.duration) == (None, 1.0)
    assert licence.of(tmp_path / "two") == "A: a"


def cut(folder: Path, **change: Any) -> dict[str, Any]:
    wavs(folder, "a.wav")
    recording = {
        "id": "rec",
        "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
    }
    said = {"id": "s1", "recording_id": "rec", "start": 0.1, "duration": 0.5, "channel": 0}
    said |= {"text": "play river", "speaker": "anna", "custom": {"semantics": TREE}}
    whole = {"id": "c", "type": "MonoCut", "start": 0.2, "duration": 0.8, "channel": 0}
    whole |= {"recording": recording, "supervisions": [said | change.pop("said", {})]}
    return whole | change


def test_cuts_and_what_is_wrong_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = cut(tmp_path)
    bad = [
        (cut(tmp_path, type="MixedCut"), "is a MixedCut, expected a MonoCut"),
        (cut(tmp_path, said={"id": "s 2"}), "holds a blank"),
        (cut(tmp_path, said={"id": "s3", "duration": 0}), "lasts from"),
        (cut(tmp_path, said={"id": "s4", "channel": 1}), "channel 1"),
        (cut(tmp_path, said={"id": "s5", "custom": {"semantics": "[IN:A"}}), "the tree ends"),
        (cut(tmp_path, said={"id": "s6", "text": None}), "has no text, others have"),
        (cut(tmp_path, said={"id": "s7", "duration": 5.0}), "lasts 1.000 s, but its segment ends"),
        (cut(tmp_path, said={"id": "s8", "text": "play\u2028river"}), "holds U+2028"),
        (cut(tmp_path, said={"id": "s9", "text": "<s> play"}), "'<s>' in 's9' means something"),
        (cut(tmp_path), "a second time"),
    ]
    path, out = tmp_path / "cuts.jsonl.gz", tmp_path / "out"
    lines = [json.dumps(one) for one in (good, *(one for one, _ in bad))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    command = ["from_lhotse", str(out), "--cuts", str(path)]
    with pytest.raises(InputError, match="10 of 11 rows cannot be used"):
        main(command)
    said = capsys.readouterr().err
    for number, (_, message) in enumerate(bad, 2):
        (line,) = [one for one in said.splitlines() if f"cuts.jsonl.gz:{number}:" in one]
        assert message in line
    assert not (out / "utt2spk").exists()
    main([*command, "--max_lost", "0.95"])
    (one,) = kaldi_dir.load(out)
    assert (one.id, one.speaker, one.start, one.end) == ("s1", "anna", 0.3, 0.8)
    assert (one.recording, one.semantics) == ("rec", TREE)


def test_from_csv_names_bad_rows_and_keeps_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wavs(tmp_path, "a.wav", "b.wav")
    csv, out = tmp_path / "u.csv", tmp_path / "out"
    csv.write_text("path,speaker,text,intent,slots\na.wav,x,Play River,play,song=river\n")
    main(["from-csv", str(csv), str(out)])
    before = bytes_of(out)
    (one,) = kaldi_dir.load(out)
    assert (one.speaker, one.text, one.semantics) == ("x", "play river", TREE)
    csv.write_text(csv.read_text() + "c.wav,x,Stop,stop,\nb.wav,x,Play,play,song=sea\n")
    with pytest.raises(InputError, match="2 of 3 rows"):
        main(["from-csv", str(csv), str(out)])
    said = capsys.readouterr().err
    assert f"{csv}:3: " in said and f"{csv}:4: the value 'sea'" in said
    assert bytes_of(out) == before


@pytest.mark.parametrize("layout", ["csv", "jsonl", "splits"])
def test_audio_folders(tmp_path: Path, layout: str) -> None:
    data, out = tmp_path / "my", tmp_path / "out"
    wavs(data, "train/a.wav", "test/b.wav")
    rows = [
        {"file_name": name, "transcription": "Play River", "intent": "play", "slots": slots}
        for name, slots in (("train/a.wav", {"song": "river"}), ("test/b.wav", {"song": "river"}))
    ]
    if layout == "csv":
        (data / "metadata.csv").write_text(
            "file_name,transcription,intent,slots\n"
            + "".join(f"{row['file_name']},Play River,play,song=river\n" for row in rows)
        )
    elif layout == "jsonl":
        (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        for row in rows:
            split, name = str(row["file_name"]).split("/")
            (data / split / "metadata.jsonl").write_text(json.dumps(row | {"file_name": name}))
    main(["from-huggingface-audiofolder", str(data), str(out)])
    for split in ("train", "test"):
        (one,) = kaldi_dir.load(out / split)
        assert (one.text, one.semantics) == ("play river", TREE)


def test_what_is_no_audio_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no metadata.csv or metadata.jsonl"):
        main(["from_huggingface_audiofolder", str(tmp_path), str(tmp_path / "out")])
    (tmp_path / "metadata.csv").write_text("name,text\na.wav,play\n")
    with pytest.raises(InputError, match="no column file_name|no row can be read"):
        main(["from_huggingface_audiofolder", str(tmp_path), str(tmp_path / "out")])


def test_a_column_twice_and_the_line_ends_of_csv_writers(tmp_path: Path) -> None:
    wavs(tmp_path, "a.wav")
    path, command = tmp_path / "metadata.csv", ["from_huggingface_audiofolder", str(tmp_path)]
    path.write_bytes(b"file_name,text\r\na.wav,play\r\n")
    main([*command, str(tmp_path / "out")])
    assert kaldi_dir.load(tmp_path / "out")[0].text == "play"
    path.write_bytes(b"file_name,text,text\na.wav,play,stop\n")
    with pytest.raises(InputError, match="metadata.csv:1: the column 'text' occurs twice"):
        main([*command, str(tmp_path / "out")])


def test_another_recording_of_a_name_is_converted_anew(tmp_path: Path) -> None:
    """Though it is older than the one before, whose data dirs keep their audio."""
    seconds = {"v1": 0.5, "v2": 1.5}
    for name, length in seconds.items():
        (tmp_path / name).mkdir()
        audio.save(tmp_path / name / "a.wav", np.resize(TONE, int(8000 * length)), 8000)
        (tmp_path / name / "u.csv").write_text("path,text\na.wav,play\n")
    os.utime(tmp_path / "v2" / "a.wav", (0, 0))
    heard = []
    for name, length in seconds.items():
        main(["from_csv", str(tmp_path / name / "u.csv"), str(tmp_path / "out")])
        (one,) = kaldi_dir.load(tmp_path / "out")
        assert one.duration == pytest.approx(length, abs=0.01)
        heard.append(str(one.wav))
    assert audio.duration(heard[0]) == pytest.approx(0.5, abs=0.01)


def mixed(folder: Path) -> Path:
    """A csv with rows of all three kinds, of which two have a recording."""
    wavs(folder, "a.wav", "b.wav")
    csv = folder / "u.csv"
    csv.write_text("path,text,intent\na.wav,play,play\nb.wav,stop,\n,go,go\n")
    return csv


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_only_decoding_finds_is_a_lost_row_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_folder: bool
) -> None:
    """Of several kinds and splits none is written before all are known to be valid."""
    csv = mixed(tmp_path / "train")
    if is_folder:
        csv = csv.rename(csv.with_name("metadata.csv"))
        csv.write_text("file_name,text,intent\na.wav,play,play\n")
        shutil.copytree(tmp_path / "train", tmp_path / "validation")
        csv = tmp_path / "validation" / "metadata.csv"
        csv.write_text("file_name,text,intent\na.wav,play,play\nb.flac,stop,\n")
    else:
        csv.write_text(csv.read_text().replace("b.wav", "b.flac"))
    flac = csv.with_name("b.flac")
    audio.save(flac, TONE)
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    out = tmp_path / "new" / "out"
    name = "from_huggingface_audiofolder" if is_folder else "from_csv"
    command = [name, str(tmp_path if is_folder else csv), str(out)]
    rows = "1 of 2" if is_folder else "1 of 3"
    with pytest.raises(InputError, match=f"{csv.name}: {rows} rows cannot be used"):
        main(command)
    assert f"left out: {csv}:3: 'b': {flac}" in capsys.readouterr().err
    assert not list((tmp_path / "new").rglob("utt2spk"))
    main([*command, "--max_lost", "0.5"])
    made = {str(path.parent.relative_to(out.parent)) for path in out.parent.rglob("utt2spk")}
    assert made == ({"out/train", "out/validation"} if is_folder else {"out", "out_nlu"})


def test_nothing_of_an_earlier_import_stays_and_nothing_of_others_goes(tmp_path: Path) -> None:
    csv, out = mixed(tmp_path), tmp_path / "out"
    (tmp_path / "license").write_text("mine alone\n")
    main(["from_csv", str(csv), str(out)])
    kinds = [tmp_path / f"out{kind}" for kind in own_corpus.KINDS]
    assert [licence.of(folder) for folder in kinds] == 3 * ["mine alone"]
    (kinds[1] / "notes").write_text("listen again\n")
    shutil.rmtree(kinds[2])
    kaldi_dir.write(kinds[2], kaldi_dir.load(out))  # not of an import
    before = bytes_of(kinds[2])
    tables.write_table(out / "ctm", {"a": "1 0 0.5 play"})
    csv.write_text("path,text,intent\nb.wav,stop,stop\n")
    (tmp_path / "license").unlink()
    main(["from_csv", str(csv), str(out)])
    assert not check.validate(out).errors and not licence.of(out)
    assert bytes_of(kinds[1]).keys() == {"notes"} and bytes_of(kinds[2]) == before


@pytest.mark.parametrize("command", ["combine", "expand", "writer", "cp", "cp into it"])
def test_a_data_dir_that_no_import_made_where_it_lies_stays(tmp_path: Path, command: str) -> None:
    """Though it carries the mark of an import: it was written over one, or copied from it."""
    csv, out = mixed(tmp_path), tmp_path / "out"
    main(["from_csv", str(csv), str(out)])
    nlu, grammar = tmp_path / "out_nlu", tmp_path / "g.yaml"
    grammar.write_text("intents: {play: [play, sing]}\n")
    if command == "combine":
        grammar_command.main(["expand", str(grammar), "--out", str(tmp_path / "other")])
        shutil.copytree(nlu, tmp_path / "some")
        main(["combine", str(nlu), str(tmp_path / "some"), str(tmp_path / "other")])
    elif command == "expand":
        grammar_command.main(["expand", str(grammar), "--out", str(nlu)])
    elif command == "writer":
        kaldi_dir.write(nlu, [kaldi_dir.Utterance("z", "z", text="go", semantics="[IN:GO go ]")])
    else:
        shutil.copytree(out, tmp_path / "copy")
        nlu = out / ("out" if "into" in command else "backup")
        shutil.move(tmp_path / "copy", nlu)
    if command in ("combine", "expand"):
        assert not (nlu / files.IMPORTED).exists()
    before = bytes_of(nlu)
    csv.write_text("path,text,intent\na.wav,play,play\n")
    main(["from_csv", str(csv), str(out)])
    assert bytes_of(nlu) == before
    assert not (tmp_path / "out_asr").exists()


def test_a_split_that_is_gone_is_removed_and_its_copy_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wavs(tmp_path, "train/a.wav", "dev/b.wav")
    for name in ("train/a", "dev/b"):
        metadata = (tmp_path / name).with_name("metadata.csv")
        metadata.write_text(f"file_name,text\n{name[-1]}.wav,play\n")
    out = tmp_path / "out"
    command = ["from_huggingface_audiofolder", str(tmp_path), str(out)]
    main(command)
    shutil.copytree(out / "dev", out / "dev_kept")
    shutil.rmtree(tmp_path / "dev")
    capsys.readouterr()
    main(command)
    assert sorted(path.name for path in out.iterdir()) == ["dev_kept", "train"]
    assert f"{out / 'dev'}: its tables are removed" in capsys.readouterr().out


def test_a_failed_write_leaves_the_old_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, out = mixed(tmp_path), tmp_path / "out"
    main(["from_csv", str(csv), str(out)])
    tables.write_table(out / "ctm", {"a": "1 0 0.5 play"})
    licence.write(out, "A: a")
    before = bytes_of(out)
    write = tables.atomic_write

    def full(path: Path, **more: Any) -> Any:
        if path.is_relative_to(out) and path.name == "text":
            raise OSError("No space left on device")
        return write(path, **more)

    monkeypatch.setattr(tables, "atomic_write", full)
    with pytest.raises(OSError, match="No space left"):
        main(["from_csv", str(csv), str(out)])
    grammar = tmp_path / "g.yaml"
    grammar.write_text("intents: {play: [play]}\n")
    with pytest.raises(OSError, match="No space left"):
        grammar_command.main(["expand", str(grammar), "--out", str(out)])
    assert bytes_of(out) == before
    monkeypatch.undo()
    grammar_command.main(["expand", str(grammar), "--out", str(out)])
    assert bytes_of(out).keys() == {"utt2spk", "spk2utt", "text", "semantics"}


def test_an_error_that_is_of_no_row_stops_the_import(tmp_path: Path) -> None:
    """Only a reader of ours that does not look can make it."""
    odd = kaldi_dir.Utterance("a", "a", text="play\u2028river", semantics=TREE)
    other = kaldi_dir.Utterance("b", "b", text="<s>", semantics=TREE)
    items = [own_corpus.Item(one, "", "u.csv:2") for one in (odd, other)]
    with pytest.raises(InputError, match="u.csv: no valid data dir(.|\n)*text:1: character U"):
        imported.valid(items, [], 1.0, tmp_path / "u.csv")
