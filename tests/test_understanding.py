"""Laws of what was understood: the JSON contract, keys of slots, places in words and time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from atat.text import understanding
from atat.text.understanding import Hypothesis, SaidWord, Understanding, understand

ROOT = Path(__file__).resolve().parent.parent


def said(words: str) -> list[SaidWord]:
    """Words of half a second each."""
    return [SaidWord(word, (0.5 * n, 0.5 * n + 0.5)) for n, word in enumerate(words.split())]


def answer(tree: str, words: str | None = None, **more: object) -> Understanding:
    given = None if words is None else said(words)
    return understand("slu", [Hypothesis(tree, -0.1, 9)], is_tree=True, said=given, **more)


def places(found: Understanding) -> list[tuple[str, tuple[int, int] | None]]:
    return [(slot.key, slot.words) for slot in found.spans]


PLAY = "[IN:PLAY play [SL:SONG silver river ] by [SL:ARTIST maria bennett ] ]"


def test_every_key_is_described_and_every_description_is_a_key() -> None:
    described = re.findall(r"^    (\w+) {2,}\w", understanding.__doc__ or "", re.M)
    full = answer(PLAY, "play silver river by maria bennett", confidence=0.9)
    for found in (full, understanding.nothing("slu", understanding.SILENCE)):
        assert list(found.to_dict()) == described[1:]  # the first is the table's head
        assert json.loads(found.to_json()) == found.to_dict()
    inner = re.findall(r"^      \.(\w+)", understanding.__doc__ or "", re.M)
    there = full.to_dict()
    assert inner == [*there["spans"][0], *there["words"][0], *there["nbest"][0]]


def test_it_is_usable_without_torch_and_numpy() -> None:
    program = "import sys, atat.text.understanding; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"set()\n"


def test_slots_of_a_sentence_are_where_the_tree_has_them() -> None:
    found = answer(PLAY, "play silver river by maria bennett")
    assert found.understood and found.intent == "PLAY"
    assert found.slots == {"SONG": "silver river", "ARTIST": "maria bennett"}
    assert places(found) == [("SONG", (1, 3)), ("ARTIST", (4, 6))]
    assert [slot.seconds for slot in found.spans] == [(0.5, 1.5), (2.0, 3.0)]
    assert found.spans[0].path == ("IN:PLAY", "SL:SONG")


def test_slots_in_another_order_are_found_where_they_were_said() -> None:
    found = answer("[IN:A [SL:SIZE large ] [SL:DRINK house coffee ] ]", "house coffee and large")
    assert places(found) == [("SIZE", (3, 4)), ("DRINK", (0, 2))]


def test_a_value_that_was_heard_a_little_differently_has_its_place_another_has_none() -> None:
    found = answer(PLAY, "play silver rivers by mario benett")
    assert places(found) == [("SONG", (1, 3)), ("ARTIST", (4, 6))]
    found = answer(PLAY, "play a waltz by somebody")
    assert places(found) == [("SONG", None), ("ARTIST", None)]
    assert [slot.seconds for slot in found.spans] == [None, None]


def test_a_name_that_occurs_again_has_a_key_and_a_place_of_its_own() -> None:
    found = answer("[IN:A [SL:D lamp ] [SL:D radio ] [SL:D lamp ] ]", "on lamp and lamp and radio")
    assert found.slots == {"D": "lamp", "D.2": "radio", "D.3": "lamp"}
    assert places(found) == [("D", (1, 2)), ("D.2", (5, 6)), ("D.3", (3, 4))]
    once = answer("[IN:A [SL:D lamp ] [SL:D lamp ] ]", "the lamp")
    assert places(once) == [("D", (1, 2)), ("D.2", None)]
    taken = answer("[IN:A [SL:D a ] [SL:D.2 b ] [SL:D c ] ]")
    assert taken.slots == {"D": "a", "D.2": "b", "D.3": "c"}


@pytest.mark.parametrize("words", ["go to the big house now", "now go to the big house"])
def test_a_slot_within_a_slot_has_its_place_within(words: str) -> None:
    tree = "[IN:GO go [SL:TO to the [IN:FIND [SL:KIND big house ] ] ] now ]"
    found = answer(tree, words)
    start = words.split().index("to")
    assert places(found) == [("TO", (start, start + 4)), ("KIND", (start + 2, start + 4))]
    assert found.spans[1].path == ("IN:GO", "SL:TO", "IN:FIND", "SL:KIND")


def test_without_a_transcript_the_words_are_those_of_the_tree_and_have_no_times() -> None:
    found = answer(PLAY)
    assert found.transcript is None
    assert [one.word for one in found.words] == "play silver river by maria bennett".split()
    assert places(found) == [("SONG", (1, 3)), ("ARTIST", (4, 6))]
    assert found.to_dict()["spans"][0]["seconds"] is None


def test_an_empty_slot_has_no_place() -> None:
    assert places(answer("[IN:A [SL:X ] [SL:Y b ] ]", "a b")) == [("X", None), ("Y", (1, 2))]


@pytest.mark.parametrize(
    ("hypothesis", "more", "cause"),
    [
        (Hypothesis(PLAY, -1, 3), {}, None),
        (Hypothesis(PLAY, -1, 3), {"confidence": 0.4, "threshold": 0.4}, None),
        (Hypothesis(PLAY, -1, 3), {"confidence": 0.39, "threshold": 0.4}, "unsure"),
        (Hypothesis(PLAY, -1, 3), {"confidence": None, "threshold": 0.4}, None),
        (Hypothesis("[IN:PLAY", -1, 3), {}, "no tree"),
        (Hypothesis("[IN:PLAY", -1, 3, at_limit=True), {}, "cut"),
        (Hypothesis("", -1, 1), {}, "no words"),
    ],
)
def test_what_may_not_be_acted_on_has_a_cause_and_a_reason(
    hypothesis: Hypothesis, more: dict[str, float], cause: str | None
) -> None:
    found = understand("slu", [hypothesis], is_tree=True, **more)
    assert (found.understood, found.cause) == (cause is None, cause)
    assert (found.reason is None) == found.understood
    assert cause is None or cause in understanding.CAUSES


def test_words_alone_are_a_transcript() -> None:
    found = understand("asr", [Hypothesis("play it", -1, 3)], is_tree=False)
    assert (found.transcript, found.tree, found.intent, found.slots) == ("play it", None, None, {})
    assert [one.word for one in found.words] == ["play", "it"]
