"""The training loop. It does not know which model it trains; the model computes its losses.

One optimizer step: all batches of the step on all ranks, their losses summed, divided by the
number of targets of the whole step, clipped, applied. Ctrl-C or SIGTERM (a scheduler's) ends the
run between two steps, with a checkpoint, and the next run goes on as if there had been none.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from atat.base.errors import InputError
from atat.engine import checkpoint, distributed, forecast, model_folder, nonfinite
from atat.engine.contract import Batch, Parts, System, Term
from atat.engine.loader import StepBatches, closing, step_loader
from atat.engine.optim import Optimizer
from atat.engine.settings import RunSettings
from atat.engine.validate import Validation, score, summary, validate

logger = logging.getLogger(__name__)
SHOWN_EVERY = 1.0  # seconds between two words of a validation
# Seconds after the first request to stop from which on Ctrl-C stops at once. Before, it may be the
# same one: torchrun passes on to its processes what they have got themselves.
AGAIN = 1.0
JUDGED = 3  # steps after which the time of the rest is told; the first of them costs more


@dataclass
class Progress:
    """What goes into a checkpoint besides weights: where the run stands."""

    step: int = 0
    best_score: tuple[float, ...] = (-math.inf,)
    best_step: int = 0
    wall_seconds: float = 0.0
    audio_seconds: float = 0.0
    validated: int = 0  # the last step that was validated
    left_out: int = 0  # steps whose loss or gradient was not finite
    left_out_in_a_row: int = 0  # of these, the last ones
    validations: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Trains a model on planned batches; `run` returns when all steps are done."""

    def __init__(
        self,
        system: System,
        parts: Parts,
        optimizer: Optimizer,
        batches: StepBatches,
        settings: RunSettings,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.system, self.parts, self.model = system, parts, parts.packed.model
        self.optimizer, self.batches, self.valid = optimizer, batches, parts.valid
        self.settings, self.folder, self.device = settings, folder, device
        self.progress = Progress()
        self.is_main = distributed.rank() == 0
        self._of: dict[str, str] = {}  # the count that each term is divided by
        self._board: Any = None
        self._bar: Any = None
        self._stop = False

    def resume(self) -> None:
        """Continue from the newest readable checkpoint in the folder, if there is one."""
        # On a network disk a machine may not see yet what another has written before it was lost.
        seen = distributed.gather([str(checkpoint.newest_step(self.folder))])
        checkpoint.not_older(self.folder, max(map(int, seen)))
        state, damaged = checkpoint.newest(self.folder)
        read = state["progress"]["step"] if state else 0
        steps = set(map(int, distributed.gather([str(read)])))
        if len(steps) > 1:
            raise InputError(
                f"{self.folder}: the newest checkpoint that can be read is of step {min(steps)} on "
                f"one machine and of step {max(steps)} on another. Remove those after {min(steps)}"
            )
        if state is None:
            return
        path = checkpoint.path_of(self.folder, state["progress"]["step"])
        if state["vocabulary"] != self.parts.identity:
            raise InputError(
                f"{path}: made with a different vocabulary than this run has now; restore the "
                f"tokenizer, or remove {self.folder} to begin again"
            )
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the model of this run: {error}") from None
        self.optimizer.load(state["optimizer"], list(state["model"]))
        self.progress = Progress(**state["progress"])
        logger.info("continuing %s from step %d", self.folder, self.progress.step)
        for path, reason in damaged.items() if self.is_main else ():
            kept = checkpoint.set_aside(path)
            logger.warning("%s: damaged (%s), kept as %s", path, reason, kept.name)
            logger.warning("continuing from step %d instead", self.progress.step)

    def run(self) -> None:
        """Train up to settings.steps. Raises KeyboardInterrupt, after a checkpoint, on a signal."""
        distributed.share_state(self.model)
        self.model.train()
        settings, first = self.settings, self.progress.step
        loader = step_loader(
            self.batches,
            first,
            settings.steps,
            workers=settings.workers,
            pin=self.device.type == "cuda",
        )
        bar = tqdm(
            total=settings.steps,
            initial=first,
            unit="step",
            desc="/".join(self.folder.parts[-2:]),
            disable=not self.is_main,
            mininterval=1.0,
            dynamic_ncols=True,
        )
        self._bar = bar
        with bar, self._listening(), closing(loader) as batches:
            try:
                self._validate_if_due()  # of a run that was shortened to the steps it had
                self._loop(batches)
            finally:
                if self._board is not None:
                    self._board.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Signals only request a stop: in the middle of an update the state cannot be saved."""
        first = math.inf  # when it was requested

        def ask(number: int, frame: Any) -> None:
            nonlocal first
            now = time.monotonic()
            first = min(first, now)
            if number == signal.SIGINT and now - first > AGAIN:
                raise KeyboardInterrupt  # at once, going on from the last checkpoint
            self._stop = True

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _loop(self, loader: Iterator[list[Batch]]) -> None:
        totals: dict[str, float] = {}
        self._show("preparing the first batches")
        mark = time.monotonic()
        ends: list[float] = []  # of the first steps of this process
        for step in range(self.progress.step + 1, self.settings.steps + 1):
            figures = self._step(step, _next(loader))
            for name in figures:
                totals[name] = totals.get(name, 0.0) + figures[name]
            now = time.monotonic()
            self.progress.wall_seconds += now - mark
            mark, self.progress.step = now, step
            self.progress.audio_seconds += figures["audio_seconds"]
            self._bar.update()
            if len(ends) < JUDGED:
                ends.append(now)
                self._judge(ends)
            if step % self.settings.log_every == 0 or step == self.settings.steps:
                self._log(step, totals, figures)
                totals = {}
            self._validate_if_due()
            stopping = figures["stop"] > 0  # the same on every rank, whichever was told
            if (
                step % self.settings.checkpoint_every == 0
                or step == self.settings.steps
                or stopping
            ):
                self._save_checkpoint()
            if stopping and step < self.settings.steps:
                raise KeyboardInterrupt
            mark = time.monotonic()

    def _step(self, step: int, batches: list[Batch]) -> dict[str, float]:
        """One optimizer step; returns sums and counts over all ranks."""
        rate = self.optimizer.prepare(step)
        # Dropout is a function of (seed, step, rank): a resumed run draws what it would have drawn.
        torch.manual_seed(hash((self.settings.seed, step, distributed.rank())) & 0x7FFFFFFF)
        counts = [batch.counts() for batch in batches]
        local = [sum(count[name] for count in counts) for name in self.model.counts]
        seconds = sum(batch.audio_seconds for batch in batches)
        *targets, seconds, stop = distributed.sum_(
            torch.tensor([*local, seconds, self._stop], dtype=torch.float64, device=self.device)
        ).tolist()
        divisors = dict(zip(self.model.counts, targets))
        terms = self.model.terms
        # The terms, and by the weights that they have in each batch.
        sums = torch.zeros(2, len(terms), dtype=torch.float64, device=self.device)
        each: list[torch.Tensor] = []  # the terms of each batch
        before = nonfinite.Statistics(self.model)
        for number, batch in enumerate(batches, 1):
            if step == 1:  # which may take minutes
                self._show(f"first step, batch {number} of {len(batches)}")
            found = self.backward(batch.to(self.device), divisors)
            none = Term(sums.new_zeros(()))
            each.append(torch.stack([found.get(term, none).total.double() for term in terms]))
            weights = sums.new_tensor([found.get(term, none).weight for term in terms])
            sums += torch.stack([each[-1], weights * each[-1]])
        distributed.sum_gradients(self.optimizer.parameters())
        figures, weighted = (dict(zip(terms, row)) for row in distributed.sum_(sums).tolist())
        norm = self.optimizer.step(update=nonfinite.is_finite(figures, 0.0))
        distributed.average_buffers(self.model)
        if nonfinite.is_finite(figures, norm):
            self.progress.left_out_in_a_row = 0
        else:
            before.restore()
            self._leave_out(step, figures, norm, list(zip(batches, each)))
            figures, divisors = dict.fromkeys(terms, 0.0), dict.fromkeys(divisors, 0.0)
            weighted = figures
        return {
            **figures,
            **{f"weighted {name}": total for name, total in weighted.items()},
            **{f"count {name}": count for name, count in divisors.items()},
            "audio_seconds": seconds,
            "rate": rate,
            "norm": norm,
            "stop": stop,
        }

    def backward(self, batch: Batch, divisors: dict[str, float]) -> dict[str, Term]:
        """Forward and backward of one batch; divisors: targets of each count in the whole step.

        Returns its terms, without gradients.
        """
        autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.settings.precision == "bf16"
            else nullcontext()
        )
        with autocast:
            terms: dict[str, Term] = self.model.losses(batch)
        for name, term in terms.items():
            self._of[name] = term.of or name
        loss = sum(
            term.weight * term.total / divisors[term.of or name]
            for name, term in terms.items()
            if term.weight and divisors[term.of or name] > 0
        )
        if isinstance(loss, torch.Tensor):  # else nothing of the batch counts
            loss.backward()
        return {name: term._replace(total=term.total.detach()) for name, term in terms.items()}

    def _leave_out(
        self,
        step: int,
        figures: dict[str, float],
        norm: float,
        batches: Sequence[tuple[Batch, torch.Tensor]],
    ) -> None:
        """Count and tell a step that is not finite; InputError if it is one too many."""
        self.progress.left_out += 1
        self.progress.left_out_in_a_row += 1
        said = nonfinite.note(
            self.folder,
            step,
            figures,
            norm,
            batches,
            row=self.progress.left_out_in_a_row,
            limit=self.settings.max_nonfinite,
        )
        if self.is_main:
            tell(f"warning: {said}")

    def _show(self, text: str) -> None:
        """Show text at the end of the bar immediately."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _judge(self, ends: list[float]) -> None:
        """Show the first steps as they end, even on a slow machine, and the time left."""
        self._show("")
        left = self.settings.steps - self.progress.step
        if len(ends) == JUDGED and left > 0 and self.is_main:
            tell(forecast.remaining((ends[-1] - ends[0]) / (JUDGED - 1), left))

    def _log(self, step: int, totals: dict[str, float], figures: dict[str, float]) -> None:
        if not self.is_main:
            return
        progress = self.progress
        shown = self._shown(totals) | {"rate": figures["rate"], "gradient_norm": figures["norm"]}
        speed = progress.audio_seconds / max(progress.wall_seconds, 1e-9)
        for name, value in shown.items():
            self._writer().add_scalar(f"train/{name}", value, step)
        self._writer().add_scalar("train/audio_seconds_per_second", speed, step)
        line = " ".join(f"{name} {value:.4g}" for name, value in shown.items())
        logger.info("step %d %s audio s/s %.0f", step, line, speed)
        heard = f" {speed:.0f} s audio/s" if speed else ""
        shares = "".join(
            f" {name} {100 * shown[name]:.0f}%"
            for name in shown
            if totals.get(f"weighted {name}") == 0 and self._of[name] != name
        )
        self._show(f"loss {shown['loss']:.3f}{shares}{heard}")

    def _shown(self, totals: dict[str, float]) -> dict[str, float]:
        """The minimised loss, its terms without their weights, and the other figures.

        All are per target, as means over the steps in `totals`.
        """
        counts = {name: totals[f"count {of}"] for name, of in self._of.items()}
        values = {
            name: totals[name] / counts[name] if counts[name] > 0 else 0.0
            for name in self.model.terms
            if name in self._of and (totals[name] or name == self.model.terms[0])
        }
        loss = sum(totals[f"weighted {name}"] / counts[name] for name in values if counts[name] > 0)
        return {"loss": loss, **values}

    def _validate_if_due(self) -> None:
        step, settings = self.progress.step, self.settings
        due = step > 0 and (step % settings.valid.every == 0 or step == settings.steps)
        if self.valid and due and self.progress.validated < step:
            self._validate(step)

    def _validate(self, step: int) -> None:
        if self.is_main:
            start = time.monotonic()
            found = self._validated()
            logger.info("step %d valid %s", step, summary(found))
            for v in found:
                for name, value in v.figures.items():
                    if value is not None:
                        self._writer().add_scalar(f"valid_{name}/{v.name}", value, step)
            self.progress.validations.append({"step": step, "sources": [v.values() for v in found]})
            reached = score(found, self.settings.valid.select)
            if reached > tuple(self.progress.best_score):
                self.progress.best_score, self.progress.best_step = reached, step
                state = {"model": self.model.state_dict(), "step": step}
                checkpoint.save(self.folder / checkpoint.BEST, state)
            self.progress.wall_seconds += time.monotonic() - start
        self.progress.validated = step
        distributed.barrier()

    def _validated(self) -> list[Validation]:
        """The figures of a validation; its progress is shown at the end of the bar."""
        before, shown = getattr(self._bar, "postfix", None), -math.inf

        def show(text: str) -> None:
            nonlocal shown
            if time.monotonic() - shown > SHOWN_EVERY:
                shown = time.monotonic()
                self._show(f"validating {text}")

        found = validate(
            self.system, self.model, self.valid, self.device, self.settings.valid.decode, show
        )
        self._show(before or "")
        return found

    def _save_checkpoint(self) -> None:
        if self.is_main:
            # A finite gradient may still lead to infinite weights. From those nothing goes on.
            model_folder.check_finite(self.model.state_dict(), f"step {self.progress.step}")
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.adam.state_dict(),
                "progress": vars(self.progress),
                "vocabulary": self.parts.identity,
            }
            checkpoint.save(checkpoint.path_of(self.folder, self.progress.step), state)
            keep = max(self.settings.valid.keep_last, self.settings.valid.average)
            checkpoint.keep_last(self.folder, keep, self.settings.checkpoint_every)
        distributed.barrier()

    def _writer(self) -> Any:
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"))
        return self._board


def tell(text: str) -> None:
    """Write a message to the terminal and the log, without breaking a progress bar."""
    logger.info("%s", text)
    tqdm.write(text, file=sys.stderr)


def _next(loader: Iterator[list[Batch]]) -> list[Batch]:
    """The next step's batches; an InputError of a worker is raised as InputError."""
    try:
        return next(loader)
    except InputError as error:
        # The data loader wraps the message in the worker's traceback.
        raise InputError(str(error).rsplit("InputError: ", 1)[-1].strip()) from None
