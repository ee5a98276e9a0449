"""Shell pipes in wav.scp: run only by who is allowed to, no obstacle to who reads features only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from atat.base import pipes
from atat.base.errors import InputError
from atat.datadir import cmvn, commands, feature_arks, features, kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.check_audio import AudioOptions
from atat.datadir.kaldi_dir import Utterance
from atat.engine import decode
from atat.engine.settings import BatchSettings, SourceSettings
from atat.engine.train import train
from atat.prepare import align
from atat.speech import audio
from atat.systems.joint.settings import TrainSettings


@pytest.fixture
def piped(tmp_path: Path) -> Path:
    """A data dir as Kaldi makes it of flac files: each entry of wav.scp is a command.

    Each command notes in `runs` that it was run.
    """
    rng = np.random.default_rng(0)
    utterances = []
    for number in range(6):
        words, tree = tiny.sentence(rng)
        name, wav = f"ann-{number}", tmp_path / f"{number}.wav"
        audio.save(wav, rng.normal(0, 0.1, 16000).astype(np.float32))
        utterances.append(
            Utterance(
                name,
                "ann",
                f"echo x >> {tmp_path}/runs; cat {wav} |",
                text=" ".join(words),
                semantics=tree,
            )
        )
    kaldi_dir.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def runs(piped: Path) -> int:
    """How many commands have been run so far."""
    log = piped.parent / "runs"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_features_of_pipes_are_enough_for_cmvn_training_and_decoding(piped: Path) -> None:
    folder = piped.parent
    features.main(
        ["--data", str(piped), "--arks", str(folder / "lfb"), "--num_mels", "16", "--allow_pipes"]
    )
    assert runs(piped) == 6
    cmvn.main(["--data", str(piped), "--out", str(folder / "cmvn.ark")])
    tiny.make_tokenizer().save(folder / "tokenizer")
    settings = TrainSettings(
        precision="fp32",
        tokenizer=str(folder / "tokenizer"),
        cmvn=str(folder / "cmvn.ark"),
        model=tiny.MODEL,
        train=(SourceSettings(str(piped), "slu"), SourceSettings(str(piped), "nlu")),
        steps=2,
        workers=0,
        batch=BatchSettings(examples=4, block=2),
    )
    train(settings, folder / "exp")
    decode.main(
        [
            "--model",
            str(folder / "exp/model"),
            "--data",
            str(piped),
            "--task",
            "slu",
            "--out",
            str(folder / "out"),
            "--max_length",
            "5",
            "--beam",
            "1",
        ]
    )
    assert len(tables.read_table(folder / "out/hyp")) == 6
    assert runs(piped) == 6
    with pytest.raises(InputError, match=r"wav.scp:1: 'ann-0' .*`features: wav` needs the audio"):
        train(replace(settings, features="wav"), folder / "other")


def test_who_needs_the_audio_refuses_a_pipe_with_its_line_and_the_way_out(
    piped: Path, tmp_path: Path
) -> None:
    needy = {
        "cmvn": lambda: cmvn.main(["--data", str(piped), "--out", str(tmp_path / "c")]),
        "features": lambda: features.make(piped, tmp_path / "lfb"),
        "align": lambda: align.main(["--backend", "pocketsphinx", "--data", str(piped)]),
    }
    for command in needy.values():
        with pytest.raises(
            InputError,
            match=r"wav\.scp:1: 'ann-0' is a shell command.*"
            r"--allow_pipes",
        ):
            command()
    assert runs(piped) == 0


def test_pipes_are_errors_of_validate_only_where_the_audio_is_needed(
    piped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(piped).errors == {"shell pipe": 6}
    assert "features --allow_pipes" in str(validate(piped))
    assert not validate(piped, AudioOptions(allow_pipes=True)).errors
    features.make(piped, piped.parent / "lfb", settings=feature_arks.Settings(allow_pipes=True))
    before = runs(piped)
    report = validate(piped)
    assert not report.errors and report.warnings["shell pipe"] == 6
    commands.main(["validate", str(piped)])
    assert "no errors" in capsys.readouterr().out
    assert not validate(piped, AudioOptions(allow_pipes=True)).warnings["shell pipe"]
    assert runs(piped) == before


@pytest.mark.parametrize("entry", ["cat a.wav |", "cat a.wav | ", "cat a.wav |\t", "| sox - a.wav"])
def test_one_rule_says_what_a_pipe_is(tmp_path: Path, entry: str) -> None:
    assert pipes.is_pipe(entry)
    with pytest.raises(InputError, match="is a shell command"):
        audio.load(entry)
    assert not pipes.is_pipe("/data/a|b.wav")


def test_a_command_to_write_to_is_never_run(tmp_path: Path) -> None:
    expected = "is written to and cannot be read; one to read from ends in"
    with pytest.raises(InputError, match=expected):
        audio.load(f"| touch {tmp_path}/executed", allow_pipes=True)
    assert not (tmp_path / "executed").exists()


def test_a_pipe_in_feats_scp_is_refused_with_its_line(piped: Path) -> None:
    keys = tables.read_table(piped / "utt2spk")
    tables.write_table(piped / "feats.scp", dict.fromkeys(keys, "copy-feats ark:a ark:- |"))
    with pytest.raises(InputError, match=r"feats.scp:1: .*copy-feats scp:"):
        kaldi_dir.load(piped)
