"""Learning rates, parameter groups and freezing."""

from __future__ import annotations

import pytest
import tiny
import torch

from atat.engine.contract import Group
from atat.engine.optim import (
    Optimizer,
    change_of_steps,
    frozen_steps,
    learning_rate,
    multiplier,
)
from atat.systems.joint.build import groups
from atat.systems.joint.model import build_model
from atat.systems.joint.settings import InitSettings, OptimSettings

PAPER = InitSettings().unfreeze


def test_noam_as_published():
    settings = OptimSettings()

    def rate(step):
        return learning_rate(settings, step, width=256, total=10**6)

    assert rate(4000) == pytest.approx(256**-0.5 * 4000**-0.5)
    assert rate(2000) == pytest.approx(rate(4000) / 2)
    assert rate(16000) == pytest.approx(rate(4000) / 2)
    assert max(range(3000, 6000), key=rate) == 4000


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_other_schedules_rise_to_the_peak_and_fall_to_their_end(schedule):
    settings = OptimSettings(schedule=schedule, peak=0.01, warmup=10)
    rates = [learning_rate(settings, step, width=1, total=100) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.001) and max(rates) == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.01 if schedule == "constant" else 0.0)


def test_unfreezing_as_published():
    """AT-AT, "Experimental Details": 0 for 500 steps; 0.2, 0.5, 0.7 for 100 each; then 1."""
    expected = {1: 0, 500: 0, 501: 0.2, 600: 0.2, 601: 0.5, 700: 0.5, 701: 0.7, 800: 0.7, 801: 1}
    assert {step: multiplier(PAPER, step) for step in expected} == expected
    assert frozen_steps(PAPER) == 500
    assert multiplier((), 1) == 1 and frozen_steps(()) == 0


def trained(model, loaded, steps, unfreeze, audio=True, text=True):
    """Names of parameters that moved in each of `steps` steps on a made-up loss."""
    parts = groups(model, loaded, audio, text)
    settings = OptimSettings(warmup=1)
    optimizer = Optimizer(model, parts, settings, width=32, total=100, unfreeze=unfreeze)
    moved = []
    for step in range(1, steps + 1):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.prepare(step)
        torch.manual_seed(step)
        loss = sum((p * torch.randn_like(p)).sum() for p in model.parameters() if p.requires_grad)
        loss.backward()
        optimizer.step()
        moved.append({n for n, p in model.named_parameters() if not torch.equal(p, before[n])})
    return moved


def test_frozen_parameters_do_not_move_and_new_rows_do():
    model, _ = build_model(tiny.MODEL, tiny.make_tokenizer())
    model.extend(2)
    loaded = {name for name, _ in model.named_parameters()} - {"decoder.embedding.extension"}
    moved = trained(model, loaded, 4, ((2, 0.0), (1, 0.5)))
    assert moved[0] == moved[1] == {"decoder.embedding.extension"}
    assert moved[2] == moved[3] == loaded | {"decoder.embedding.extension"}


def test_a_group_trains_from_its_own_step_on():
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(3)])
    parts = [Group(list(layer.parameters()), frozen=2 * n) for n, layer in enumerate(model)]
    settings = OptimSettings(schedule="constant", warmup=1)
    optimizer = Optimizer(model, parts, settings, width=2, total=4)
    assert "1 of 3 groups of parameters are frozen for as many or more" in optimizer.warnings()[0]
    for step in range(1, 7):
        before = [layer.weight.clone() for layer in model]
        optimizer.prepare(step)
        sum(layer(torch.ones(2)).sum() for layer in model).backward()
        optimizer.step()
        moved = [not torch.equal(layer.weight, old) for layer, old in zip(model, before)]
        assert moved == [True, step > 2, step > 4]


def test_an_encoder_that_no_task_uses_does_not_train():
    model, _ = build_model(tiny.MODEL, tiny.make_tokenizer())
    names = {name for name, p in model.named_parameters() if p.numel()}
    for audio, text, idle in ((True, False, ("text_",)), (False, True, ("audio_", "ctc."))):
        moved = trained(model, (), 1, (), audio, text)[0]
        assert moved == {name for name in names if not name.startswith(idle)}


def groups_of_a_finetuning(settings, total):
    """An optimizer of new and pretrained parameters, and its groups by kind."""
    model, _ = build_model(tiny.MODEL, tiny.make_tokenizer())
    model.extend(1)
    loaded = {name for name, _ in model.named_parameters()} - {"decoder.embedding.extension"}
    parts = groups(model, loaded, True, True)
    optimizer = Optimizer(model, parts, settings, width=256, total=total, unfreeze=PAPER)
    return optimizer, {
        "pretrained" if group.pretrained else "new": rates
        for group, rates in zip(optimizer.groups, optimizer.adam.param_groups)
    }


@pytest.mark.parametrize("schedule", ["noam", "linear", "cosine", "constant"])
def test_unfreezing_multiplies_the_schedule_as_it_stands(schedule):
    """AT-AT, "Experimental Details": "a learning rate multiplier", not a schedule of its own."""
    settings = OptimSettings(schedule=schedule, warmup=400)
    optimizer, rates = groups_of_a_finetuning(settings, 1000)
    for step in range(1, 1001):
        rate = optimizer.prepare(step)
        assert rate == learning_rate(settings, step, width=256, total=1000)
        assert rates["new"]["lr"] == rate
        assert rates["pretrained"]["lr"] == pytest.approx(multiplier(PAPER, step) * rate, abs=0)
    if schedule in ("linear", "cosine"):
        assert rates["new"]["lr"] == rates["pretrained"]["lr"] == 0


def test_the_papers_rate_at_its_thaw():
    optimizer, rates = groups_of_a_finetuning(OptimSettings(), 10000)
    optimizer.prepare(501)
    assert rates["pretrained"]["lr"] == pytest.approx(0.2 * 256**-0.5 * 501 * 4000**-1.5)


@pytest.mark.parametrize("schedule", ["noam", "linear", "cosine", "constant"])
def test_a_rate_that_never_falls_is_a_warning(schedule):
    model = torch.nn.Linear(2, 2)
    settings = OptimSettings(schedule=schedule, warmup=8)

    def said(total):
        parts = [Group(list(model.parameters()))]
        return " ".join(Optimizer(model, parts, settings, width=2, total=total).warnings())

    assert "ends at 50 % of its peak" in said(4) and not said(9)
    assert ("never falls" in said(8)) == (schedule in ("linear", "cosine"))


def test_what_else_other_steps_change_is_said() -> None:
    said = change_of_steps(OptimSettings(), 30, 40, 7, width=16, also="the end of x")
    assert said == (
        "steps: 40 instead of 30, which moves the end of x; the schedule (noam) does not depend on "
        "it. The result differs from that of a run with 40 steps from the start"
    )


def test_what_other_steps_change_is_said_of_each_part_of_the_schedule() -> None:
    linear = OptimSettings(schedule="linear", peak=1e-3, warmup=20)
    said = {
        done: change_of_steps(linear, 30, now, done, width=16)
        for done, now in ((6, 8), (7, 40), (25, 41))
    }
    assert said[6].endswith(
        "8 instead of 30; the rate grows until step 20 (optim.warmup), as before"
    )
    assert "; the rate grows until step 20 (optim.warmup), then it falls to 0 at step 40" in said[7]
    assert "; from here on the rate falls to 0 at step 41 (linear): at step 26 it is" in said[25]
