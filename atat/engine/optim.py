"""Learning rates over time, parameter groups, and the paper's gradual unfreezing.

AT-AT, "Finetuning Phase" and "Experimental Details": noam with Adam; in finetuning, pretrained
parameters are frozen while new ones settle, then train at a growing rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from atat.engine.contract import Group
from atat.engine.settings import OptimSettings

Unfreeze = Sequence[Sequence[float]]  # [steps, multiplier] phases; 1 after the last


def learning_rate(settings: OptimSettings, step: int, *, width: int, total: int) -> float:
    """The rate of optimizer step `step` (counted from 1) of `total`.

    noam: factor * width^-0.5 * min(step^-0.5, step * warmup^-1.5) (Vaswani et al. 2017, 5.3).
    """
    warmup = max(settings.warmup, 1)
    if settings.schedule == "noam":
        return settings.factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)
    if step < warmup or settings.schedule == "constant":
        return settings.peak * min(step / warmup, 1.0)
    left = max(total - step, 0) / max(total - warmup, 1)
    if settings.schedule == "linear":
        return settings.peak * left
    return settings.peak * 0.5 * (1 - math.cos(math.pi * left))


def change_of_steps(
    settings: OptimSettings, before: int, now: int, done: int, width: int, also: str = ""
) -> str:
    """How another number of steps changes the rates after `done` steps, in words.

    also: what else depends on the steps (`RunSettings.also_by_steps`).
    """
    text = f"steps: {now:,} instead of {before:,}"
    text += f", which moves {also}" if also else ""
    differs = f". The result differs from that of a run with {now:,} steps from the start"
    if settings.schedule in ("noam", "constant"):
        same = f"{text}; the schedule ({settings.schedule}) does not depend on it"
        return same + (differs if also else "")
    if now <= settings.warmup:
        same = f"{text}; the rate grows until step {settings.warmup:,} (optim.warmup), as before"
        return same + (differs if also else "")
    old, new = (
        learning_rate(settings, done + 1, width=width, total=total) for total in (before, now)
    )
    then = "from here on the rate falls"
    if done < settings.warmup:
        then = f"the rate grows until step {settings.warmup:,} (optim.warmup), then it falls"
    return (
        f"{text}; {then} to 0 at step {now:,} ({settings.schedule}): at step "
        f"{done + 1:,} it is {new:.3g} where it would have been {old:.3g}{differs}"
    )


def multiplier(unfreeze: Unfreeze, step: int) -> float:
    """The factor on the rate of pretrained parameters at `step` (counted from 1)."""
    end = 0.0
    for steps, factor in unfreeze:
        end += steps
        if step <= end:
            return factor
    return 1.0


def frozen_steps(unfreeze: Unfreeze) -> int:
    """Number of first steps in which pretrained parameters are frozen."""
    count = 0
    for steps, factor in unfreeze:
        if factor > 0:
            break
        count += int(steps)
    return count


class Optimizer:
    """Adam whose groups follow the schedule; frozen parameters get no gradient at all."""

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[Group],
        settings: OptimSettings,
        *,
        width: int,
        total: int,
        unfreeze: Unfreeze = (),
    ) -> None:
        """Parameters of the model that are in no group stay frozen for the whole run."""
        self.settings, self.width, self.total = settings, width, total
        self._model = model
        self.groups = [group for group in groups if group.parameters]
        self.unfreeze = tuple(unfreeze) if any(group.pretrained for group in self.groups) else ()
        training = {id(one) for group in self.groups for one in group.parameters}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in training)
        self.adam = torch.optim.AdamW(
            [{"params": group.parameters, "lr": 0.0} for group in self.groups],
            betas=(settings.betas[0], settings.betas[1]),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def load(self, state: dict[str, Any], model: Sequence[str]) -> None:
        """Continue from a state of `adam`; model: the names of the weights beside it, in order.

        Those that the model had then and no longer has, as nothing reads them, are left out.
        """
        kept = self._model.state_dict()
        names = {id(parameter): name for name, parameter in self._model.named_parameters()}
        for group, saved in zip(self.adam.param_groups, state["param_groups"]):
            if len(saved["params"]) > len(group["params"]):
                own = {names[id(parameter)] for parameter in group["params"]}
                had = [name for name in model if name in own or name not in kept]
                saved["params"] = [
                    number for number, name in zip(saved["params"], had, strict=True) if name in own
                ]
        self.adam.load_state_dict(state)

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of all groups, frozen or not."""
        return [parameter for group in self.adam.param_groups for parameter in group["params"]]

    def prepare(self, step: int) -> float:
        """Set rates and freezing for `step` (counted from 1); returns the rate of new parameters.

        Pretrained parameters follow the same schedule, times the multiplier of the phase.
        """
        new_rate = learning_rate(self.settings, step, width=self.width, total=self.total)
        for group, rates in zip(self.groups, self.adam.param_groups):
            rate, trains = new_rate, step > group.frozen
            if group.pretrained:
                factor = multiplier(self.unfreeze, step)
                rate *= factor
                trains = trains and factor > 0
            if group.pretrained or group.frozen:
                for parameter in group.parameters:
                    parameter.requires_grad_(trains)
            rates["lr"] = rate * group.multiplier
        return new_rate

    def warnings(self) -> list[str]:
        """Warnings about a run that ends after `total` steps."""
        found, warmup = [], self.settings.warmup
        phases, frozen = sum(int(steps) for steps, _ in self.unfreeze), frozen_steps(self.unfreeze)
        if self.total <= frozen:
            found.append(
                f"steps is {self.total}, and pretrained parameters are frozen for {frozen} steps "
                "(init.unfreeze): only new ones train; raise steps or shorten the phases"
            )
        elif self.total < phases:
            found.append(
                f"steps is {self.total}, and pretrained parameters train at the full rate only "
                f"after {phases} steps (init.unfreeze): raise steps or shorten the phases"
            )
        asleep = sum(group.frozen >= self.total for group in self.groups)
        if asleep:
            found.append(
                f"steps is {self.total}, and {asleep} of {len(self.groups)} groups of parameters "
                "are frozen for as many or more: they do not train; raise steps"
            )
        if self.total < warmup:
            found.append(
                f"steps is {self.total}, and the rate grows for {warmup} steps (optim.warmup): it "
                f"ends at {100 * self.total / warmup:.0f} % of its peak; raise steps or lower "
                "optim.warmup"
            )
        elif self.total == warmup and self.settings.schedule in ("linear", "cosine"):
            found.append(
                f"steps is {self.total}, and the rate grows for as many (optim.warmup): it never "
                "falls, but for the last step, whose rate is 0; raise steps or lower optim.warmup"
            )
        return found

    def step(self, *, update: bool = True) -> float:
        """Clip gradients, update; returns their norm before clipping.

        Nothing is updated where the norm is not finite, or without `update`.
        """
        parameters = [p for p in self.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip))
        if update and math.isfinite(norm):
            self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return norm
