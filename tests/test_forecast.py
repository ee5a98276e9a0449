"""What a training will take is told in the units one would use, and too much is a warning."""

from __future__ import annotations

import pytest

from atat.engine import forecast
from atat.engine.forecast import SourceLoad
from atat.engine.settings import BatchSettings, SourceSettings
from atat.systems.joint.settings import TrainSettings

AUDIO = SourceLoad("data/a", 100, 300.0, 75.0, 1.0)
SAME = SourceLoad("data/a", 100, 300.0, 75.0, 3.0)
TEXT = SourceLoad("data/b", 40, 0.0, 10.0, 2.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5900, "98 min"),
        (6000, "1 h 40 min"),
        (3600 * 30 + 300, "30 h 05 min"),
        (86400 * 2.6, "3 days"),
    ],
)
def test_durations(seconds, text):
    assert forecast.duration(seconds) == text


def test_states_are_those_of_the_mix():
    # 60 examples: 10, 30 and 20 of them; 300 frames are 75 states.
    found = forecast.states_of_a_step((AUDIO, SAME, TEXT), 60)
    assert found == pytest.approx(40 * 75 + 20 * 10)
    assert forecast.states_of_a_step((TEXT,), 60) == pytest.approx(600)


def test_recordings_of_several_tasks_are_counted_once():
    assert forecast.hours((AUDIO, SAME, TEXT)) == pytest.approx(100 * 3 / 3600)


def test_the_paper_on_a_cpu_is_a_warning_and_what_takes_hours_is_none():
    paper = forecast.cpu_warning(29_000_000, 64 * 75, 100_000, 1e11)
    assert paper is not None and "about 13 days on this CPU" in paper
    assert "model." not in paper  # keys of a system
    assert forecast.cpu_warning(29_000_000, 64 * 75, 1000, 1e11) is None
    assert forecast.cpu_warning(2_600_000, 14 * 75, 2400, 1e11) is None
    seconds = [forecast.cpu_seconds(10**7, 4800, steps, 1e11) for steps in (1000, 2000)]
    assert seconds[1] == pytest.approx(2 * seconds[0])


def test_the_opening_names_what_trains_where_on_what():
    settings = TrainSettings(
        tokenizer="tok",
        train=(SourceSettings("data/a", "slu"),),
        steps=2000,
        batch=BatchSettings(examples=60),
    )
    text = forecast.opening(settings, (AUDIO, SAME, TEXT), (12_340_000, 9_900), "a GPU", "bf16", 7)
    assert text == (
        "12.3 million parameters (9,900 of them train), on a GPU in bf16; 2,000 steps of 60 "
        "examples, going on after step 7; 0.08 hours of recordings and 40 sentences of text"
    )
