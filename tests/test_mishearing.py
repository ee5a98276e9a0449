"""Texts as somebody who listens badly writes them down."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from jiwer import cer, wer

from atat.engine.settings import SourceSettings
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.text.ctc_labels import WORD_START, PhoneUnits
from atat.text.encoder_ids import PieceIds, misheard_ids, own_ids
from atat.text.mishearing import Alphabet, misheard, misheard_phones
from atat.text.pronunciation import PHONES

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


def test_phones_are_misheard_for_phones_mostly_of_a_like_sound() -> None:
    phones = PhoneUnits().pronounced(TEXT)
    rng = np.random.default_rng(0)
    found = [misheard_phones(phones, 0.1, rng) for _ in range(400)]
    assert {symbol for one in found for symbol in one} <= {WORD_START, *PHONES}
    said, heard = (" ".join(phones), [" ".join(one) for one in found])
    assert 0.06 < wer([said] * len(heard), heard) < 0.12
    alone = [misheard_phones(["K"], 0.5, rng) for _ in range(400)]
    swapped = Counter(one[0] for one in alone if len(one) == 1 and one[0] != "K")
    assert swapped.most_common(1)[0][0] == "G"
    assert all(misheard_phones([WORD_START, "EY"], 0.5, rng) for _ in range(200))


def test_a_symbol_of_no_group_is_misheard_for_none() -> None:
    alphabet = Alphabet(start=" ", alike=(("a", "b"),), symbols=("a", "b", "c"))
    rng = np.random.default_rng(0)
    for symbol, instead in (("c", {"c"}), (" ", {" "}), ("a", {"a", "b", "c"})):
        heard = [alphabet.instead(symbol, 1.0, rng) for _ in range(100)]
        assert {one[0] for one in heard if one} == instead and [] in heard


def test_an_encoder_of_phones_reads_misheard_phones_one_of_pieces_misheard_letters() -> None:
    tokenizer, rng = tiny.make_tokenizer(), np.random.default_rng(0)
    for units in ("phones", "characters", "pieces"):
        source = own_ids(units, tokenizer)
        ids = [misheard_ids(source, "play the red song", 0.4, rng) for _ in range(50)]
        assert all(one[0] == source.cls_id and one[-1] == source.sep_id for one in ids)
        assert source("play the red song") != ids[0]
        assert all(0 < number < source.cls_id for one in ids for number in one[1:-1]) or (
            units == "pieces"
        )
        unheard = misheard_ids(source, "play the red song", 0.0, rng)
        assert unheard == source("play the red song")


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
