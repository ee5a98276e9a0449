"""Laws of what a data dir holds: changed sound is noticed, the same sound elsewhere is the same."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from atat import ark, audio, cmvn, config, contents, decode, kaldi
from atat import train as train_cli
from atat.errors import InputError
from atat.kaldi import Utterance
from atat.settings import BatchSettings, Source, TrainSettings, ValidSettings


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    tiny.make_data(folder / "train", 24)
    tiny.make_data(folder / "dev", 12, seed=5)
    make_recordings(folder / "wavs", 6)
    tiny.make_tokenizer().save(folder / "tokenizer")
    specs = kaldi.read_table(folder / "train" / "feats.scp").values()
    ark.write_matrix(folder / "cmvn.ark", cmvn.accumulate(map(ark.read, specs)))
    config.save(folder / "conf.yaml", settings(folder))
    train_cli.main(["--config", str(folder / "conf.yaml"), "--out", str(folder / "exp")])
    return folder


@pytest.fixture
def own(corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that a test may change, its scp files naming the copy."""
    folder = Path(shutil.copytree(corpus, tmp_path / "own"))
    for table in (*folder.glob("*/feats.scp"), *folder.glob("*/wav.scp")):
        table.write_text(table.read_text().replace(str(corpus), str(folder)))
    return folder


def settings(folder: Path, **changes: object) -> TrainSettings:
    model = replace(tiny.MODEL, text_encoder=None)
    return replace(
        TrainSettings(
            tokenizer=str(folder / "tokenizer"), cmvn=str(folder / "cmvn.ark"),
            train=(Source(str(folder / "train"), "slu"),), steps=2, model=model,
            valid=ValidSettings(), batch=BatchSettings(examples=12, block=3), workers=0,
        ), **changes)


def make_recordings(folder: Path, count: int) -> Path:
    """A data dir of short noises, with trees."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    utterances = []
    for number in range(count):
        words, tree = tiny.sentence(rng)
        path = folder / f"{number}.wav"
        audio.save(path, rng.normal(0, 0.1, 8000).astype(np.float32))
        utterances.append(Utterance(f"a-{number}", "a", wav=str(path), text=" ".join(words),
                                    semantics=tree))
    kaldi.write(folder, utterances)
    return folder


def change_one_value(specifier: str) -> None:
    """One value of a matrix, in place."""
    path, offset = specifier.rsplit(":", 1)
    with open(path, "r+b") as stream:
        stream.seek(int(offset) + 15 + 400)  # behind the header of a float matrix
        value = stream.read(4)
        stream.seek(-4, os.SEEK_CUR)
        stream.write(struct.pack("<f", struct.unpack("<f", value)[0] + 1))


def change_one_sample(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def train(folder: Path) -> None:
    train_cli.main(["--config", str(folder / "conf.yaml"), "--out", str(folder / "exp")])


def decode_all(corpus: Path, data: Path, out: Path, *options: str) -> None:
    decode.main(["--model", str(corpus / "exp" / "model"), "--data", str(data), "--out", str(out),
                 "--nj", "1", *options])


def move_sound(data: Path, target: Path) -> None:
    """The files that a dir's scp file names somewhere else, copied, with other times."""
    shutil.copytree(data, target)
    for name in ("feats.scp", "wav.scp"):
        if (data / name).is_file():
            lines = (data / name).read_text().replace(f"{data}/", f"{target}/")
            (data / name).write_text(lines)
    for path in target.iterdir():
        os.utime(path)


def test_training_notices_one_changed_value_and_no_copy(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(own / "exp")
    config.save(own / "conf.yaml", settings(own))
    train(own)
    move_sound(own / "train", tmp_path / "moved")
    train(own)
    assert "finished before" in capsys.readouterr().out
    change_one_value(kaldi.read_table(own / "train" / "feats.scp")["spk1-004"])
    with pytest.raises(InputError, match="train/feats.scp names was another"):
        train(own)
    noted = json.loads((own / "exp" / "inputs.json").read_text())
    old = {path: digest for path, digest in noted.items() if "feats.scp" not in path}
    assert len(old) == len(noted) - 1
    (own / "exp" / "inputs.json").write_text(json.dumps(old))  # of before it was noted
    train(own)
    shutil.rmtree(tmp_path / "moved")  # a finished run outlives its data
    (own / "exp" / "inputs.json").write_text(json.dumps(noted))
    train(own)


@pytest.mark.parametrize("name", ["dev", "wavs"])
def test_decoding_notices_one_changed_value_and_no_copy(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    decode_all(own, own / name, tmp_path / "out")
    move_sound(own / name, tmp_path / "moved")
    decode_all(own, own / name, tmp_path / "out")
    assert capsys.readouterr().out.count("finished before") == 1
    if name == "dev":
        change_one_value(kaldi.read_table(own / "dev" / "feats.scp")["spk1-004"])
    else:
        change_one_sample(tmp_path / "moved" / "3.wav")
    decode_all(own, own / name, tmp_path / "out")
    assert "finished before" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "kind"), [("dev", "feats"), ("wavs", "wav")])
def test_what_has_not_changed_is_not_read_again(
    own: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    first = contents.look(own / name, kind)
    assert all(one.digest and one.fault is None for one in first.values())
    assert len({one.digest for one in first.values()}) == len(first)
    monkeypatch.setattr(contents, "YOUNG", -9.0)  # as if the files were old
    contents.look(own / name, kind)
    read = []
    monkeypatch.setattr(contents, "_examine_all",
                        lambda entries, *_: read.extend(entries) or [])
    assert contents.look(own / name, kind) == first and read == []
    value = next(iter(kaldi.read_table(own / name / contents.TABLES[kind]).values()))
    os.utime(kaldi.path_of(value), ns=(1, 1))
    with pytest.raises(KeyError):
        contents.look(own / name, kind)
    assert read


def test_a_torn_memory_or_a_dir_of_somebody_else_only_costs_time(own: Path) -> None:
    first = contents.look(own / "dev", "feats")
    (own / "dev" / ".contents.feats.scp.json").write_text('{"version": 1, "files": {')
    assert contents.look(own / "dev", "feats") == first


def test_an_empty_matrix_has_a_summary(tmp_path: Path) -> None:
    ark.write_matrix(tmp_path / "empty", np.zeros((0, 16), np.float32))
    assert ark.summarize(tmp_path / "empty").rows == 0
