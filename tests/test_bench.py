"""The benchmark measures what the machine has hardware for, and keeps to its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from atat.base import precision

LOCAL = Path(__file__).parent.parent / "utils" / "bench"
CPU = torch.device("cpu")


@pytest.mark.parametrize("flags", ["avx2", "avx2 avx512f", "avx2 avx512f avx512_bf16", "amx_bf16"])
def test_bf16_is_measured_where_there_is_hardware_for_it(local: Any, monkeypatch, flags) -> None:
    models = local("rows_models")
    monkeypatch.setattr(precision, "processor_facts", lambda: {"flags": flags})
    has = "bf16" in flags
    for systems in (models.TRAINED, models.DECODED):
        found = models.measured(systems, CPU)
        assert any("bf16" in name for name in found) == has
        assert set(found) >= {"ESPnet2", "Hugging Face Speech2Text", "atat"}
    assert models.bf16_text(CPU).startswith("bf16: the processor has" if has else "No bf16 is")


@pytest.mark.parametrize(
    ("each", "seconds", "counted", "made"),
    [
        (1.0, float("inf"), 5, 7),  # seconds of a round: all rounds that count, two that do not
        (1.0, 4.5, 3, 5),
        (10.0, 4.5, 1, 2),  # slow: a round to warm up, and one
    ],
)
def test_a_slow_machine_makes_fewer_rounds(
    local: Any, monkeypatch, each, seconds, counted, made
) -> None:
    clock = local("clock")
    now, runs = [0.0], {"one": 0, "two": 0}
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def work(name: str, share: float) -> None:
        runs[name] += 1
        now[0] += share * each

    timings = clock.interleave(
        {"one": lambda: work("one", 0.75), "two": lambda: work("two", 0.25)},
        "one",
        rounds=clock.Rounds(5, seconds),
    )
    assert runs == {"one": made, "two": made}
    assert {timing.rounds for timing in timings.values()} == {counted}
    assert timings["two"].speedup == pytest.approx(3) and timings["one"].seconds == 0.75 * each
    text = clock.rounds_text(timings)
    assert text == (f"Medians of {counted} rounds." if counted > 1 else "One round.")


def test_shares_of_the_hour_are_no_more_than_an_hour(local: Any) -> None:
    run = local("run")
    assert set(run.SHARES) == set(run.ROWS) and sum(run.SHARES.values()) <= 1
