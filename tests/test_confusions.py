"""Which phones a model hears for which: counted, written, and drawn again as counted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from atat.base.errors import InputError
from atat.datadir import fingerprint
from atat.engine import model_folder
from atat.engine.train import train
from atat.nn.settings import CtcSettings
from atat.systems.joint.build import build
from atat.systems.joint.confusions_command import main
from atat.text.confusions import NOTHING, Confusions, count
from atat.text.ctc_labels import PhoneUnits
from atat.text.mishearing import misheard_phones

SAID = "▁ HH IY ▁ S AE NG".split()


def phones_only(settings: tiny.ModelSettings = tiny.MODEL) -> tiny.ModelSettings:
    """The tiny model whose head and text encoder have units of phones."""
    assert settings.text_encoder is not None
    text = replace(settings.text_encoder, units="phones")
    return replace(settings, text_encoder=text, ctc=CtcSettings(weight=0.3, units="phones"))


def test_what_was_said_is_paired_with_what_was_heard() -> None:
    assert count(SAID, SAID) == Counter((phone, phone) for phone in SAID)
    found = count(SAID, "▁ IY ▁ Z AE NG T".split())
    assert found["HH", NOTHING] == 1 and found["S", "Z"] == 1 and found[NOTHING, "T"] == 1
    assert found["▁", "▁"] == 2 and found["S", "S"] == 0
    assert count(SAID, []) == Counter((phone, NOTHING) for phone in SAID)
    assert count([], ["T"]) == Counter({(NOTHING, "T"): 1})


def test_as_many_phones_are_misheard_as_asked_for_and_as_they_were_counted() -> None:
    counts = {("S", "S"): 60, ("S", "Z"): 30, ("S", NOTHING): 10, ("AE", "AE"): 100}
    ear = Confusions({**counts, (NOTHING, "T"): 10})
    assert ear.said == 200 and ear.rate == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    pairs: Counter[tuple[str, str]] = Counter()
    for _ in range(4000):
        pairs.update(count(["S", "AE"], misheard_phones(["S", "AE"], 0.1, rng, ear)))
    drawn = Confusions(pairs)
    assert drawn.rate == pytest.approx(0.1, abs=0.015)
    assert pairs["S", "Z"] == pytest.approx(3 * pairs["S", NOTHING], rel=0.25)
    assert pairs["AE", "AE"] > 3950 and 80 < pairs[NOTHING, "T"] < 240
    assert {phone for pair in pairs for phone in pair} == {"S", "AE", "Z", "T", NOTHING}


def test_something_is_left_of_a_phone_that_was_never_heard() -> None:
    ear = Confusions({("S", NOTHING): 10})
    heard = [
        misheard_phones(["S"] * 20, 0.6, np.random.default_rng(seed), ear) for seed in range(99)
    ]
    assert all(set(one) == {"S"} for one in heard) and min(map(len, heard)) < 8


def test_written_then_read_is_identical(tmp_path: Path) -> None:
    ear = Confusions(count(SAID, "▁ IY ▁ Z AE NG T".split()))
    ear.write(tmp_path / "c.json", {"data": ["data/train"]})
    assert Confusions.read(tmp_path / "c.json") == ear


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object"),
        ('{"heard": {"S": 3}}', "expected what `atat confusions` writes"),
        ('{"heard": {"S": {"Q": 1}}}', "'Q' is no phone"),
        ('{"heard": {"S": {"S": 9}}}', "no phone was misheard"),
    ],
)
def test_a_file_that_it_did_not_write_is_told(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Confusions.read(path)
    assert str(path) in str(caught.value) and "atat confusions" in str(caught.value)


def test_of_a_models_own_confusions_its_text_is_misheard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tiny.make_corpus(tmp_path / "corpus")
    model_folder.save(tmp_path / "model", tiny.packed(settings=phones_only()))
    out = tmp_path / "confusions.json"
    command = [str(tmp_path / "model"), "--data", str(corpus / "train"), "--out", str(out)]
    main(command)
    assert re.search(r"\d\d\.\d % of \d+ phones misheard", capsys.readouterr().out)
    ear = Confusions.read(out)
    texts = (corpus / "train" / "text").read_text().splitlines()
    phones = [one for line in texts for one in PhoneUnits().pronounced(line.split(" ", 1)[1])]
    assert ear.said == len(phones)
    main(command)
    assert Confusions.read(out) == ear  # the same each time

    settings = tiny.training(
        corpus, model=phones_only(), misheard=0.3, confusions=str(out), steps=2
    )
    assert settings.digests()[str(out)] == next(iter(fingerprint.of_file(out).values()))
    train(settings, tmp_path / "run")


def test_texts_of_training_are_misheard_by_them_and_by_nothing_else(tmp_path: Path) -> None:
    corpus = tiny.make_corpus(tmp_path / "corpus")
    out = tmp_path / "confusions.json"
    Confusions({("L", "R"): 5, ("L", "L"): 5}).write(out, {})
    settings = tiny.training(corpus, model=phones_only(), misheard=0.4, confusions=str(out))
    source = next(one for one in build(settings).train if one.task == "nlu")
    rng, ids = np.random.default_rng(0), PhoneUnits().ids_of
    changed: Counter[tuple[int, int]] = Counter()
    for number in range(len(source)):
        truth, drawn = source.example(number).source, source.example(number, rng).source
        changed.update(zip(truth.tolist(), drawn.tolist(), strict=True))
    wrong = {pair for pair in changed if pair[0] != pair[1]}
    assert wrong == {tuple(ids(["L", "R"]))}


def test_where_they_cannot_be_written_is_said_before_anything_is_heard(tmp_path: Path) -> None:
    model_folder.save(tmp_path / "model", tiny.packed(settings=phones_only()))
    (tmp_path / "file").touch()
    corpus = tiny.make_corpus(tmp_path / "corpus")
    out = tmp_path / "file" / "c.json"
    with pytest.raises(InputError, match="file: the counts cannot be written there"):
        main([str(tmp_path / "model"), "--data", str(corpus / "train"), "--out", str(out)])


def test_what_cannot_use_them_says_so(tmp_path: Path) -> None:
    corpus = tiny.make_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match="confusions: c.json is of no use, since misheard is 0"):
        tiny.training(corpus, confusions="c.json")
    letters = tiny.training(corpus, confusions="c.json", misheard=0.2)
    with pytest.raises(InputError, match="set text_encoder.units to phones"):
        build(letters)
    model_folder.save(tmp_path / "model", tiny.packed())
    with pytest.raises(InputError, match="no CTC head with units of phones"):
        main([str(tmp_path / "model"), "--data", str(corpus / "train"), "--out", "c.json"])
    model_folder.save(tmp_path / "phones", tiny.packed(settings=phones_only()))
    (corpus / "train" / "text").unlink()
    with pytest.raises(InputError, match="train/text: no line for"):
        main([str(tmp_path / "phones"), "--data", str(corpus / "train"), "--out", "c.json"])
