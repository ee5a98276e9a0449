"""Data dirs of csv files, audio folders and lhotse's manifests: ids stay, bad rows are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.commands import main
from atat.speech import audio

TONE = np.sin(np.arange(16000, dtype=np.float32) / 9) / 2
TREE = "[IN:PLAY play [SL:SONG river ] ]"


def wavs(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio.save(folder / name, TONE)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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
        (cut(tmp_path), "a second time"),
    ]
    path, out = tmp_path / "cuts.jsonl.gz", tmp_path / "out"
    lines = [json.dumps(one) for one in (good, *(one for one, _ in bad))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    command = ["from_lhotse", str(out), "--cuts", str(path)]
    with pytest.raises(InputError, match="7 of 8 rows cannot be used"):
        main(command)
    said = capsys.readouterr().err
    for number, (_, message) in enumerate(bad, 2):
        (line,) = [one for one in said.splitlines() if f"cuts.jsonl.gz:{number}:" in one]
        assert message in line
    assert not (out / "utt2spk").exists()
    main([*command, "--max_lost", "0.9"])
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
