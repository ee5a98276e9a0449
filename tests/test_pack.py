"""A model at any time of a training, and a training of another length than it was begun with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import yaml

from atat.apps.recognizer import Recognizer
from atat.base import checksums, config, lock, machine
from atat.base.calibration import Calibration, Fitted
from atat.base.errors import InputError
from atat.engine import checkpoint, model_folder, pack, run_folder
from atat.engine import train as train_cli
from atat.engine.settings import SourceSettings, ValidSettings
from atat.engine.train import train
from atat.engine.trainer import Trainer
from atat.systems.joint.settings import InitSettings, OptimSettings, TrainSettings

NOAM = OptimSettings(warmup=4)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module", autouse=True)
def tuned() -> None:
    """As the command does it: what makes the products decides their last digits."""
    machine.tune()


def short(corpus: Path, **changes) -> TrainSettings:
    """Of one audio and one text task, without validation."""
    mix = tuple(SourceSettings(str(corpus / "train"), task) for task in ("slu", "nlu"))
    base = {"train": mix, "optim": NOAM, "valid": ValidSettings(), "checkpoint_every": 2}
    return tiny.training(corpus, **{**base, **changes})


def interrupt(monkeypatch, settings: TrainSettings, folder: Path, after: int) -> None:
    """Train until the step after `after` is told to stop."""
    whole = Trainer._step

    def stopping(self, step, batches):
        self._stop = step == after
        return whole(self, step, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return model_folder.load(folder).model.state_dict()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_an_interrupted_run_gives_a_model_without_its_data_and_goes_on_unchanged(
    tmp_path, monkeypatch, capsys
):
    corpus = tiny.make_corpus(tmp_path / "corpus")
    valid = ValidSettings(sources=(SourceSettings(str(corpus / "dev"), "slu"),), every=2, decode=0)
    run = short(corpus, steps=8, valid=valid)
    train(run, tmp_path / "straight")
    exp = tmp_path / "exp"
    interrupt(monkeypatch, run, exp, 5)
    assert not (exp / "model").exists()

    shutil.move(corpus, tmp_path / "away")
    pack.main([str(exp)])
    best = checkpoint.load(exp / checkpoint.BEST)
    assert f"model: made of step {best['step']}\n" in capsys.readouterr().out
    assert_same(weights(exp / "model"), best["model"])
    assert Recognizer.load(exp / "model")(text="play the red lamp").text
    facts = json.loads((exp / "train.json").read_text())
    assert (facts["finished"], facts["steps"]) == (False, 5)

    shutil.move(tmp_path / "away", corpus)
    train(run, exp)
    assert_same(weights(exp / "model"), weights(tmp_path / "straight" / "model"))
    assert (exp / "model" / "trees.json").read_text() == (
        tmp_path / "straight" / "model" / "trees.json"
    ).read_text()
    assert json.loads((exp / "train.json").read_text())["finished"]
    assert not (exp / run_folder.START).exists()


def test_the_model_is_of_the_checkpoints_that_were_asked_for(corpus, tmp_path, capsys):
    exp = tmp_path / "exp"
    train(short(corpus, steps=6), exp)
    before = json.loads((exp / "train.json").read_text())
    states = [checkpoint.load(path)["model"] for path in checkpoint.paths_in(exp)]
    name = "decoder.norm.weight"

    pack.main([str(exp), "--average", "2", "--out", str(tmp_path / "mean")])
    mean = (states[-1][name] + states[-2][name]) / 2
    torch.testing.assert_close(weights(tmp_path / "mean")[name], mean)
    one = checkpoint.path_of(exp, 4)
    pack.main([str(exp), "--checkpoint", str(one), "--out", str(tmp_path / "one")])
    assert_same(weights(tmp_path / "one"), checkpoint.load(one)["model"])
    assert_same(weights(exp / "model"), states[-1])  # the run's own stayed as it was
    assert json.loads((exp / "train.json").read_text()) == before

    pack.main([str(exp), "--average", "2"])  # the run's own may be made again
    torch.testing.assert_close(weights(exp / "model")[name], mean)
    after = json.loads((exp / "train.json").read_text())
    assert after == before | {"chosen": "mean of 2 checkpoints"}

    kept = (tmp_path / "mean" / "model.safetensors").read_bytes()
    for options, message in (
        (["--out", str(tmp_path / "mean")], "mean: exists already; give another --out"),
        (["--average", "9"], "has 3 checkpoints of every 2 steps"),
        (["--average", "0"], "--average 0"),
        (["--best"], "no best.pt; it is written at a validation"),
        (["--checkpoint", str(tmp_path / "none.pt"), "--out", str(tmp_path / "x")], "none.pt"),
    ):
        with pytest.raises(InputError, match=message):
            pack.main([str(exp), *options])
    assert (tmp_path / "mean" / "model.safetensors").read_bytes() == kept
    with pytest.raises(InputError, match="is a packed model already; expected the folder of a tr"):
        pack.main([str(tmp_path / "mean")])
    with pytest.raises(InputError, match="no config.yaml, so not a training folder"):
        pack.main([str(tmp_path / "mean" / "tokenizer")])


def test_without_a_checkpoint_the_best_model_is_made_elsewhere_or_not_at_all(corpus, tmp_path):
    exp = tmp_path / "exp"
    train(short(corpus, steps=2), exp)
    newest = checkpoint.paths_in(exp)[-1]
    best = {"model": checkpoint.load(newest)["model"], "step": 2}
    checkpoint.save(exp / checkpoint.BEST, best)
    for path in (newest, exp / "train.json"):
        path.unlink()
    before = (exp / "model" / "SHA256SUMS").read_bytes()
    with pytest.raises(InputError, match="no checkpoint-.*.pt yet.* give --out"):
        pack.main([str(exp), "--best"])
    assert (exp / "model" / "SHA256SUMS").read_bytes() == before
    pack.main([str(exp), "--best", "--out", str(tmp_path / "best")])
    assert_same(weights(tmp_path / "best"), best["model"])


def test_a_calibration_stays_as_long_as_the_weights_do(corpus, tmp_path, capsys):
    exp, run = tmp_path / "exp", short(corpus, steps=4)
    train(run, exp)
    fitted = Calibration({"beam": 2}, {"slu": Fitted({"score": 2.0}, 1.0, 0.5)})
    fitted.write(exp / "model")
    checksums.write(exp / "model")
    pack.main([str(exp)])
    assert Calibration.read(exp / "model") == fitted
    model_folder.load(exp / "model")  # its checksums know the calibration
    capsys.readouterr()
    pack.main([str(exp), "--average", "2"])
    assert Calibration.read(exp / "model") is None
    said = f"the model before was calibrated, {exp / 'model'} is not"
    assert said in capsys.readouterr().out

    fitted.write(exp / "model")
    checksums.write(exp / "model")
    train(replace(run, steps=6), exp)
    assert Calibration.read(exp / "model") is None
    assert said in capsys.readouterr().err


def test_a_running_training_is_packed_and_does_not_notice(corpus, tmp_path, monkeypatch):
    exp, whole = tmp_path / "exp", Trainer._step

    def packing(self, step, batches):
        if step == 4:
            with pytest.raises(InputError, match="a training .process"):
                with lock.hold(exp, "another"):
                    pass
            pack.main([str(exp)])
        return whole(self, step, batches)

    train(short(corpus, steps=6), tmp_path / "straight")
    monkeypatch.setattr(Trainer, "_step", packing)
    train(short(corpus, steps=6), exp)
    assert_same(weights(exp / "model"), weights(tmp_path / "straight" / "model"))


def test_a_run_without_a_checkpoint_has_no_model_yet(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_step", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        train(short(corpus), tmp_path / "exp")
    with pytest.raises(InputError, match="no checkpoint yet; the first is written after 2 steps"):
        pack.main([str(tmp_path / "exp")])


def test_a_finished_run_that_gets_more_steps_is_a_longer_run(corpus, tmp_path, capsys):
    train(short(corpus, steps=6), tmp_path / "straight")
    config.save(tmp_path / "conf.yaml", short(corpus, steps=3))
    command = ["--config", str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "exp")]
    train_cli.main(command)
    capsys.readouterr()
    train_cli.main([*command, "--set", "steps=6"])
    said = capsys.readouterr().err
    assert "steps: 6 instead of 3; the schedule (noam) does not depend on it" in said
    assert_same(weights(tmp_path / "exp" / "model"), weights(tmp_path / "straight" / "model"))
    assert json.loads((tmp_path / "exp" / "train.json").read_text())["steps"] == 6
    train_cli.main([*command, "--set", "steps=6"])
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(InputError, match="step 6 is done, so steps cannot be 3.*atat pack"):
        train_cli.main(command)
    assert config.read_yaml(tmp_path / "exp" / "config.yaml")["steps"] == 6
    for path in checkpoint.paths_in(tmp_path / "exp"):
        path.unlink()
    with pytest.raises(InputError, match="finished with 6 steps, and its checkpoints are gone"):
        train_cli.main([*command, "--set", "steps=9"])


def test_a_run_can_be_shortened_to_the_steps_it_has(corpus, tmp_path, monkeypatch, capsys):
    valid = ValidSettings(
        sources=(SourceSettings(str(corpus / "dev"), "slu"),), every=100, decode=0
    )
    linear = replace(NOAM, schedule="linear", peak=1e-3)
    run = short(corpus, steps=8, valid=valid, optim=linear)
    interrupt(monkeypatch, run, tmp_path / "exp", 5)
    with pytest.raises(InputError, match="step 5 is done, so steps cannot be 4"):
        train(replace(run, steps=4), tmp_path / "exp")
    capsys.readouterr()
    train(replace(run, steps=5), tmp_path / "exp")
    # (8 - 6) of (8 - 4) steps are left of the fall from 1e-3 at step 6, of the new one none.
    assert "falls to 0 at step 5 (linear): at step 6 it is 0 where it would have been 0.0005" in (
        capsys.readouterr().err
    )
    facts = json.loads((tmp_path / "exp" / "train.json").read_text())
    assert facts["finished"] and facts["steps"] == 5
    assert [validation["step"] for validation in facts["validations"]] == [5]
    newest = checkpoint.load(checkpoint.paths_in(tmp_path / "exp")[-1])["model"]
    assert_same(weights(tmp_path / "exp" / "model"), newest)


def test_defaults_that_changed_do_not_end_runs_that_do_not_use_them(corpus, tmp_path, monkeypatch):
    """A run of audio tasks has no text encoder, one from a model has that model's."""
    slu = (SourceSettings(str(corpus / "train"), "slu"),)
    train(short(corpus, steps=2, train=slu), tmp_path / "exp")
    values = config.read_yaml(tmp_path / "exp" / "config.yaml")
    values["model"]["text_encoder"] |= {"kind": "bert", "bert": "bert-base-uncased"}
    del values["max_lost"]
    (tmp_path / "exp" / "config.yaml").write_text(yaml.safe_dump(values))
    run_folder.check_same(tmp_path / "exp", short(corpus, steps=2, train=slu))
    with pytest.raises(InputError, match="begun with `model`"):
        run_folder.check_same(tmp_path / "exp", short(corpus, steps=2))


@pytest.mark.parametrize(
    ("steps", "warmup", "message"),
    [
        (3, 1, "steps is 3, and pretrained parameters are frozen for 3 steps"),
        (4, 1, "steps is 4, and pretrained parameters train at the full rate only after 5 steps"),
        (5, 10, r"steps is 5, and the rate grows for 10 steps .*: it ends at 50 % of its peak"),
        (5, 5, None),
    ],
)
def test_a_finetuning_that_ends_too_early_is_a_warning(
    corpus, tmp_path, caplog, steps, warmup, message
):
    train(short(corpus, steps=1), tmp_path / "base")
    caplog.clear()
    init = InitSettings(model=str(tmp_path / "base" / "model"), unfreeze=((3, 0.0), (2, 0.5)))
    tokenizer = model_folder.load(tmp_path / "base" / "model").tokenizer.extend(["[IN:ASK"])
    tokenizer.save(tmp_path / "tokenizer")
    run = short(
        corpus,
        steps=steps,
        init=init,
        tokenizer=str(tmp_path / "tokenizer"),
        optim=replace(NOAM, warmup=warmup),
    )
    train(run, tmp_path / "exp")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (message is not None)
    assert message is None or re.match(message, warnings[0])


def test_the_command_line(corpus, tmp_path):
    train(short(corpus, steps=2), tmp_path / "exp")
    done = subprocess.run(
        [sys.executable, "-m", "atat", "pack", str(tmp_path / "exp"), "--best"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "best.pt" in done.stderr
