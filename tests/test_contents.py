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
import soundfile
import tiny

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import ark, cmvn, contents, features, kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.kaldi_dir import Utterance
from atat.engine import decode, partial
from atat.engine import train as train_cli
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.prepare import sphinx
from atat.scoring import score
from atat.speech import audio
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.systems.joint.settings import TrainSettings


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    tiny.make_data(folder / "train", 24)
    tiny.make_data(folder / "dev", 12, seed=5)
    make_recordings(folder / "wavs", 6)
    tiny.make_tokenizer().save(folder / "tokenizer")
    specs = tables.read_table(folder / "train" / "feats.scp").values()
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
            tokenizer=str(folder / "tokenizer"),
            cmvn=str(folder / "cmvn.ark"),
            train=(SourceSettings(str(folder / "train"), "slu"),),
            steps=2,
            model=model,
            valid=ValidSettings(),
            batch=BatchSettings(examples=12, block=3),
            workers=0,
        ),
        **changes,
    )


def make_recordings(folder: Path, count: int) -> Path:
    """A data dir of short noises, with trees."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    utterances = []
    for number in range(count):
        words, tree = tiny.sentence(rng)
        path = folder / f"{number}.wav"
        audio.save(path, rng.normal(0, 0.1, 8000).astype(np.float32))
        utterances.append(
            Utterance(f"a-{number}", "a", wav=str(path), text=" ".join(words), semantics=tree)
        )
    kaldi_dir.write(folder, utterances)
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
    decode.main(
        [
            "--model",
            str(corpus / "exp" / "model"),
            "--data",
            str(data),
            "--out",
            str(out),
            "--nj",
            "1",
            *options,
        ]
    )


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
    change_one_value(tables.read_table(own / "train" / "feats.scp")["spk1-004"])
    with pytest.raises(InputError, match="train/feats.scp names has changed since"):
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
        change_one_value(tables.read_table(own / "dev" / "feats.scp")["spk1-004"])
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
    monkeypatch.setattr(contents, "_examine_all", lambda entries, *_: read.extend(entries) or [])
    assert contents.look(own / name, kind) == first and read == []
    value = next(iter(tables.read_table(own / name / contents.TABLES[kind]).values()))
    os.utime(kaldi_dir.path_of(value), ns=(1, 1))
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


# What can be wrong with the features of one utterance, and what is said of it.
FAULTS = {
    "NaN": "holds a value that is no number",
    "infinity": "holds a value that is no number",
    "1e30": r"holds a value of 1e\+30",
    "claims 2^30 rows": "its header claims 1073741824 x 16 values",
    "another's": "the matrix of 'spk2-005' is stored there, not that of 'spk1-004'",
    "other length": "has [0-9]+ frames, utt2num_frames says 7;",
    "cut off": "no whole matrix is stored there",
}
VICTIM = "spk1-004"


def spoil(data: Path, how: str) -> None:
    """Put one thing wrong with the features of VICTIM."""
    table = tables.read_table(data / "feats.scp")
    path, offset = table[VICTIM].rsplit(":", 1)
    content = bytearray(Path(path).read_bytes())
    numbers = {"NaN": np.nan, "infinity": np.inf, "1e30": 1e30}
    if how in numbers:
        struct.pack_into("<f", content, int(offset) + 15 + 400, numbers[how])
    elif how == "claims 2^30 rows":
        struct.pack_into("<i", content, int(offset) + 6, 2**30)
    elif how == "another's":
        tables.write_table(data / "feats.scp", {**table, VICTIM: table["spk2-005"]})
    elif how == "other length":
        frames = tables.read_table(data / "utt2num_frames")
        tables.write_table(data / "utt2num_frames", {**frames, VICTIM: "7"})
    else:  # a copy of half of it
        ark.write_matrix(data / "half", np.ones((20, 16), np.float32))
        os.truncate(data / "half", 500)
        tables.write_table(data / "feats.scp", {**table, VICTIM: str(data / "half")})
    Path(path).write_bytes(content)


@pytest.mark.parametrize("how", FAULTS)
def test_one_utterance_at_fault_is_named_and_the_rest_decoded(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    decode_all(own, own / "dev", tmp_path / "sound")
    capsys.readouterr()
    spoil(own / "dev", how)
    with pytest.raises(
        InputError,
        match=f"1 of 12 utterances cannot be read:\n.*{VICTIM}.*{FAULTS[how]}.*\n.*--max_lost",
    ):
        decode_all(own, own / "dev", tmp_path / "out")
    decode_all(own, own / "dev", tmp_path / "out", "--max_lost", "0.1")
    told = capsys.readouterr().err
    assert VICTIM in told and "counts as wrong" in told
    hypotheses = tables.read_table(tmp_path / "out" / "hyp")
    assert hypotheses == {**tables.read_table(tmp_path / "sound" / "hyp"), VICTIM: ""}
    about = json.loads((tmp_path / "out" / "decode.json").read_text())
    assert list(about["lost"]) == [VICTIM]
    score.score(own / "dev", tmp_path / "out")
    scored = {one.utt: one for one in score.load_scored(tmp_path / "out")}
    assert len(scored) == 12 and scored[VICTIM].counts["em_hyp"] == (0, 1)


@pytest.mark.parametrize("how", FAULTS)
def test_one_utterance_at_fault_is_named_by_all_who_read_features(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    spoil(own / "train", how)
    named = f"{VICTIM}.*{FAULTS[how]}"
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    with pytest.raises(InputError, match=f"1 of 24 utterances cannot be used .*\n.*{named}"):
        TaskData(SourceSettings(str(own / "train"), "slu"), encoding)
    data = TaskData(SourceSettings(str(own / "train"), "slu"), encoding, max_lost=0.1)
    assert len(data) == 23 and list(data.lost) == [VICTIM]
    assert all(np.isfinite(data.example(index).source).all() for index in range(23))
    arguments = ["--data", str(own / "train"), "--out", str(tmp_path / "cmvn.ark")]
    with pytest.raises(InputError, match=f"1 of 24 utterances cannot be read.*\n.*{named}"):
        cmvn.main(arguments)
    cmvn.main([*arguments, "--max_lost", "0.1"])
    assert np.isfinite(np.stack(cmvn.load(tmp_path / "cmvn.ark"))).all()
    capsys.readouterr()
    report = validate(own / "train")
    assert report.lost.keys() == {VICTIM}
    assert ("2^30" in how) == ("1073741824" in str(report))


def test_names_of_copies_are_no_faults(tmp_path: Path) -> None:
    with ark.Writer(tmp_path / "a.ark") as write:
        for key in ("a-1", "a-11", "b-1"):
            write(key, np.ones((3, 2), np.float32))
    for name in ("a-11", "sp0.9-a-11", "a-11_far"):
        assert len(ark.read(write.specifiers["a-11"], name)) == 3
    for name in ("a-1", "b-1", "b-11", "sp0.9-a-1", "xa-11"):
        with pytest.raises(InputError, match=f"matrix of 'a-11' is stored there, .*{name}"):
            ark.read(write.specifiers["a-11"], name)


def test_the_end_of_another_id_is_a_fault(tmp_path: Path) -> None:
    with ark.Writer(tmp_path / "a.ark") as write:
        for key in ("1", "11", "21"):
            write(key, np.full((4, 2), 9, np.float32))
    for key, specifier in write.specifiers.items():
        assert ark.summarize(specifier, key).rows == len(ark.read(specifier, key))
    for stored in ("11", "21"):
        with pytest.raises(InputError, match=f"matrix of '{stored}' is stored there, not .*'1'"):
            ark.summarize(write.specifiers[stored], "1")


def test_ids_in_text_arks_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.ark"
    path.write_text("k1  [\n  1 2\n  3 4 ]\nsp1-k1  [\n  5 6 ]\n")
    for key, offset in (("k1", 3), ("sp1-k1", 26), ("sp0.9-k1", 3)):
        assert ark.summarize(f"{path}:{offset}", key).columns == 2
        assert ark.read(f"{path}:{offset}", key).shape[1] == 2
    for read in (ark.read, ark.summarize):
        for offset, stored, key in ((3, "k1", "1"), (26, "sp1-k1", "k1"), (26, "sp1-k1", "zz")):
            with pytest.raises(InputError, match=f"'{stored}' is stored there, not .* '{key}'"):
                read(f"{path}:{offset}", key)


def test_loud_numbers_in_a_float_file_are_named_everywhere(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = np.full(8000, 0.1, np.float32)
    samples[4000] = 1e30
    soundfile.write(own / "wavs" / "3.wav", samples, 16000, subtype="FLOAT")
    named = r"a-3: .*3.wav: holds a sample of 1e\+30 at 0.250 s"
    with pytest.raises(InputError, match=f"1 of 6 utterances cannot be read.*\n.*{named}"):
        decode_all(own, own / "wavs", tmp_path / "out")
    decode_all(own, own / "wavs", tmp_path / "out", "--max_lost", "0.2")
    assert tables.read_table(tmp_path / "out" / "hyp")["a-3"] == ""
    heard = Encoding(tiny.make_tokenizer(), features="wav")
    assert list(TaskData(SourceSettings(str(own / "wavs"), "slu"), heard, max_lost=0.2).lost) == [
        "a-3"
    ]
    for extra in ((), ("--max_lost", "0.2")):
        arguments = ["--data", str(own / "wavs"), "--arks", str(tmp_path / "arks"), *extra]
        if not extra:
            with pytest.raises(InputError, match=f"6 utterances give no features.*\n.*{named}"):
                features.main(arguments)
        else:
            features.main(arguments)
    assert len(kaldi_dir.load(own / "wavs")) == 5
    assert "a-3" in capsys.readouterr().err


@pytest.mark.parametrize(
    "table, line, message",
    [
        ("segments", "a-3 a-3 0.1 inf", "segments:4: found times 0.1 to inf"),
        ("utt2dur", "a-3 inf", "utt2dur:4: found 'inf' for 'a-3'"),
        ("utt2num_frames", "a-3 -5", "utt2num_frames:4: found '-5' for 'a-3'"),
    ],
)
def test_times_that_are_none_are_named(
    own: Path, tmp_path: Path, table: str, line: str, message: str
) -> None:
    values = {"segments": "{} 0 0.4", "utt2dur": "0.5", "utt2num_frames": "48"}[table]
    lines = [f"a-{n} {values.format(f'a-{n}')}" for n in range(6)]
    lines[3] = line
    (own / "wavs" / table).write_text("\n".join(lines) + "\n")
    for run in (
        lambda: decode_all(own, own / "wavs", tmp_path / "out"),
        lambda: TaskData(
            SourceSettings(str(own / "wavs"), "slu"),
            Encoding(tiny.make_tokenizer(), features="wav"),
        ),
    ):
        with pytest.raises(InputError, match=message):
            run()
    assert f"malformed {table.rstrip('s')}" in str(validate(own / "wavs"))


def test_empty_files_are_named(own: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(own / "dev"), "--out", str(tmp_path / "cmvn.ark")]
    (own / "dev" / "feats.ark").write_bytes(b"")
    for run in (
        lambda: decode_all(own, own / "dev", tmp_path / "out"),
        lambda: cmvn.main(arguments),
    ):
        with pytest.raises(InputError, match=r"12 of 12 utterances.*\n.*ark:9: .*has 0 bytes"):
            run()
    for table in (
        "utt2spk",
        "spk2utt",
        "text",
        "semantics",
        "feats.scp",
        "utt2num_frames",
        "utt2dur",
    ):
        (own / "dev" / table).write_text("")
    with pytest.raises(InputError, match="dev/utt2spk: empty, there is nothing to decode"):
        decode_all(own, own / "dev", tmp_path / "out")
    with pytest.raises(InputError, match="no features to take the mean of"):
        cmvn.main(arguments)


@pytest.mark.parametrize("torn", ["", "{", '{"options": {}', "[1]", '{"inputs": {}}'])
def test_a_torn_description_is_decoded_again(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], torn: str
) -> None:
    decode_all(own, own / "dev", tmp_path / "out")
    whole = (tmp_path / "out" / "hyp").read_bytes()
    (tmp_path / "out" / "decode.json").write_text(torn)
    (tmp_path / "out" / "decode.partial.json").write_text(torn)
    (tmp_path / "out" / partial.PARTIAL).write_text("")
    decode_all(own, own / "dev", tmp_path / "out")
    assert "finished before" not in capsys.readouterr().out
    assert (tmp_path / "out" / "hyp").read_bytes() == whole
    assert json.loads((tmp_path / "out" / "decode.json").read_text())["utterances"] == 12


def test_segments_of_a_recording_at_fault_or_beyond_its_end_are_named(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = tables.read_table(own / "wavs" / "wav.scp")
    tables.write_table(
        own / "wavs" / "segments",
        {key: f"{key} 0.1 {5 if key == 'a-1' else 0.4}" for key in recordings},
    )
    Path(recordings["a-4"]).write_bytes(b"RIFF")
    decode_all(own, own / "wavs", tmp_path / "out", "--max_lost", "0.4")
    about = json.loads((tmp_path / "out" / "decode.json").read_text())
    assert sorted(about["lost"]) == ["a-1", "a-4"]
    assert "its segment ends at 5.000 s" in about["lost"]["a-1"]
    assert "2 of 6 utterances cannot be read" in capsys.readouterr().err
    with pytest.raises(InputError, match="2 of 6 utterances cannot be read"):
        decode_all(own, own / "wavs", tmp_path / "strict", "--max_lost", "0.2")
    assert not (tmp_path / "strict" / "decode.json").exists()


def test_another_recording_of_the_same_name_is_heard_anew(own: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    jobs = [sphinx.Job("a-3", str(own / "wavs" / "3.wav"))]
    before = sphinx._fingerprint(jobs)
    os.utime(own / "wavs" / "3.wav")
    assert sphinx._fingerprint(jobs) == before
    change_one_sample(own / "wavs" / "3.wav")
    assert sphinx._fingerprint(jobs) != before


def test_another_language_model_of_the_same_size_is_searched_anew(
    own: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pocketsphinx")
    path = tmp_path / "lm.arpa"
    jobs = [sphinx.Job("a-3", str(own / "wavs" / "3.wav"), language_model=str(path))]
    keys = set()
    for words in ("lamp on", "lamp up", "lamp on"):
        path.write_text(words)
        keys.add(sphinx._fingerprint(jobs))
    assert len(keys) == 2
