"""Texts as somebody who listens badly writes them down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from jiwer import cer

from atat.engine.settings import SourceSettings
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.text.encoder_ids import PieceIds
from atat.text.mishearing import misheard

TEXT = "can i get a large cappuccino with two espresso shots and some brown sugar"


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_about_the_share_is_changed(share: float) -> None:
    rng = np.random.default_rng(0)
    texts = [misheard(TEXT, share, rng) for _ in range(400)]
    assert 0.6 * share < cer([TEXT] * len(texts), texts) < 1.2 * share
    assert TEXT in texts  # some are heard well


def test_it_follows_its_generator_and_stays_normalised() -> None:
    one, other = (misheard(TEXT, 0.3, np.random.default_rng(7)) for _ in range(2))
    assert one == other != misheard(TEXT, 0.3, np.random.default_rng(8))
    assert one == " ".join(one.split())
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyz ")


def test_none_is_changed_at_zero_and_something_is_always_left() -> None:
    rng = np.random.default_rng(0)
    assert misheard(TEXT, 0.0, rng) == TEXT
    assert all(misheard("a", 0.5, rng) for _ in range(200))


def test_sources_are_misheard_in_training_only_and_targets_never(tmp_path: Path) -> None:
    corpus = tiny.make_corpus(tmp_path)
    tokenizer = tiny.make_tokenizer()
    plain = Encoding(tokenizer, source_text=PieceIds(tokenizer), mel_bins=16)
    source = SourceSettings(str(corpus / "train"), "nlu")
    clean, noisy = (TaskData(source, one) for one in (plain, replace(plain, misheard=0.3)))
    rng = np.random.default_rng(0)
    changed = 0
    for number in range(len(clean)):
        truth, drawn = clean.example(number), noisy.example(number, rng)
        assert drawn.target == truth.target
        changed += not np.array_equal(drawn.source, truth.source)
        assert np.array_equal(noisy.example(number).source, truth.source)
    assert changed > len(clean) / 2
