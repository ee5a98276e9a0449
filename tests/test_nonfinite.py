"""A step that is not finite changes nothing; too many in a row end the run; what was good stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.engine import checkpoint, nonfinite
from atat.engine.settings import ValidSettings
from atat.engine.train import train
from atat.engine.trainer import Trainer

STEPS = 6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


def run(corpus: Path, folder: Path, **changes: Any) -> None:
    settings = tiny.training(corpus, steps=STEPS, valid=ValidSettings(), checkpoint_every=1)
    train(tiny.replace(settings, **changes), folder)


Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def spoilt_at(monkeypatch: pytest.MonkeyPatch, steps: set[int], spoil: Spoil) -> list[str]:
    """Spoil the terms of the first batch of some steps; returns its utterances of all of them."""
    whole, backward, now, named = Trainer._step, Trainer.backward, [0], []

    def step(self: Trainer, number: int, batches: list[Any]) -> dict[str, float]:
        now[0] = number if number in steps else 0
        return whole(self, number, batches)

    def backwards(self: Trainer, batch: Any, divisors: dict[str, float]) -> dict[str, Any]:
        losses = self.model.losses
        if now[0]:
            now[0] = 0
            named.extend(batch.utterances)
            self.model.losses = lambda batch: spoil(losses(batch))
        try:
            return backward(self, batch, divisors)
        finally:
            self.model.losses = losses

    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr(Trainer, "backward", backwards)
    return named


def nan_loss(terms: dict[str, Any]) -> dict[str, Any]:
    name = "ce"
    return {**terms, name: terms[name]._replace(total=terms[name].total * torch.nan)}


class _Steep(torch.autograd.Function):
    """Itself, with a gradient without end."""

    @staticmethod
    def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.inf


def steep(terms: dict[str, Any]) -> dict[str, Any]:
    name = "ce"
    return {**terms, name: terms[name]._replace(total=_Steep.apply(terms[name].total))}


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return checkpoint.load(checkpoint.path_of(folder, step))["model"]


@pytest.mark.parametrize("spoil", [nan_loss, steep])
def test_a_step_that_is_not_finite_changes_nothing_and_names_its_utterances(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Spoil,
) -> None:
    named = spoilt_at(monkeypatch, {4}, spoil)
    valid = ValidSettings(keep_last=STEPS)
    run(corpus, tmp_path / "exp", valid=valid)
    before, after = weights(tmp_path / "exp", 3), weights(tmp_path / "exp", 4)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    last = weights(tmp_path / "exp", STEPS)
    assert all(value.isfinite().all() for value in last.values())
    assert any(not torch.equal(value, last[name]) for name, value in before.items())
    (line,) = (tmp_path / "exp" / nonfinite.LIST).read_text().splitlines()
    found = json.loads(line)
    assert found["step"] == 4 and named and set(named) <= set(found["utterances"])
    if spoil is nan_loss:  # else the gradient does not tell of which batch it is
        assert found["utterances"] == named
    assert f"step 4: the {'loss' if spoil is nan_loss else 'gradient'}" in capsys.readouterr().err
    progress = checkpoint.load(checkpoint.path_of(tmp_path / "exp", STEPS))["progress"]
    assert (progress["left_out"], progress["left_out_in_a_row"]) == (1, 0)


def test_too_many_in_a_row_end_the_run_and_the_checkpoint_before_them_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(corpus, tmp_path / "straight")
    with monkeypatch.context() as patch:
        spoilt_at(patch, {3, 4, 5}, nan_loss)
        with pytest.raises(
            InputError, match=r"step 5: .*in step 3 in a row \(max_nonfinite is 2\)"
        ):
            run(corpus, tmp_path / "exp", max_nonfinite=2, valid=ValidSettings(keep_last=STEPS))
    good = weights(tmp_path / "exp", 2)
    for step in (3, 4):
        now = weights(tmp_path / "exp", step)
        assert all(torch.equal(value, now[name]) for name, value in good.items())
        checkpoint.path_of(tmp_path / "exp", step).unlink()
    run(corpus, tmp_path / "exp", max_nonfinite=2, valid=ValidSettings(keep_last=STEPS))
    one, other = weights(tmp_path / "straight", STEPS), weights(tmp_path / "exp", STEPS)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_none_may_be_left_out_where_the_settings_say_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt_at(monkeypatch, {2}, nan_loss)
    with pytest.raises(InputError, match="step 2: the loss of the batches with spk.*not finite"):
        run(corpus, tmp_path / "exp", max_nonfinite=0)
    assert not checkpoint.path_of(tmp_path / "exp", 2).exists()


def test_statistics_of_a_step_that_is_left_out_are_as_before() -> None:
    model = torch.nn.BatchNorm1d(2)
    model(torch.randn(4, 2))
    mean = model.running_mean.clone()
    before = nonfinite.Statistics(model)
    model(torch.full((4, 2), torch.nan))
    assert model.running_mean.isnan().all()
    before.restore()
    assert torch.equal(model.running_mean, mean) and int(model.num_batches_tracked) == 1
