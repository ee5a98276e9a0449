"""The bridge from audio to the text encoder: what is heard for certain is read as text is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from torch import Tensor

from atat.base.errors import InputError
from atat.engine import decode
from atat.engine.train import train
from atat.nn.beam_search import SearchOptions
from atat.nn.bridge import heard
from atat.nn.loss import IGNORE, divergence_sum
from atat.nn.settings import BridgeSettings, CtcSettings
from atat.systems.joint.build import build
from atat.systems.joint.generate import DecoderScorer, MixedScorer
from atat.systems.joint.model import Atat, build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.recognizer import Recognizer
from atat.systems.joint.settings import ModelSettings
from atat.text.ctc_labels import BLANK, Units, build_units
from atat.text.encoder_ids import own_ids
from atat.text.tokenizer import Tokenizer

TEXT = "play the blue tango"


def bridged(units: str = "characters", share: float = 0.5) -> ModelSettings:
    """The tiny model with a bridge and nothing random in its layers."""
    settings = tiny.without_dropout()
    assert settings.text_encoder is not None
    return replace(
        settings,
        text_encoder=replace(settings.text_encoder, units=units),
        ctc=CtcSettings(weight=0.3, units=units),  # type: ignore[arg-type]
        bridge=BridgeSettings(share),
    )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny.make_tokenizer()


def certain(labels: list[int], units: int) -> Tensor:
    """(1, T, U): log probabilities of a head that is sure of each label."""
    return torch.nn.functional.one_hot(torch.tensor([labels]), units).float().clamp_min(1e-9).log()


def test_neighbouring_states_of_a_unit_are_one_and_blanks_none() -> None:
    a, b = 1, 2
    chances = torch.tensor(
        [
            [0.8, 0.1, 0.1],  # blank
            [0.2, 0.6, 0.2],  # a
            [0.0, 1.0, 0.0],  # a
            [0.9, 0.0, 0.1],  # blank
            [0.0, 0.7, 0.3],  # a once more
            [0.1, 0.1, 0.8],  # b
        ]
    )
    found, sizes = heard(chances.log()[None], torch.tensor([6]))
    assert sizes.tolist() == [3]
    expected = torch.tensor([[0, 1.6 / 1.8, 0.2 / 1.8], [0, 0.7, 0.3], [0, 0.1 / 0.9, 0.8 / 0.9]])
    torch.testing.assert_close(found[0], expected)
    assert found[0].argmax(-1).tolist() == [a, a, b]


def test_padding_changes_nothing_and_silence_says_nothing() -> None:
    log_probs = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    log_probs[2, :, BLANK] = 9.0
    found, sizes = heard(log_probs, torch.tensor([12, 7, 12]))
    alone, size = heard(log_probs[1:2, :7], torch.tensor([7]))
    assert sizes[1] == size[0] and sizes[2] == 0
    torch.testing.assert_close(found[1, : size[0]], alone[0])
    assert not found[1, size[0] :].any() and not found[2].any()


@pytest.mark.parametrize("units", ["characters", "pieces", "phones"])
def test_what_is_heard_for_certain_is_read_as_text(units: str, tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model, ctc_units = build_model(bridged(units), tokenizer)
    assert ctc_units is not None and model.bridge is not None
    said = [label for unit in ctc_units.ids(TEXT) for label in (unit, unit, BLANK)]
    log_probs = certain(said, len(ctc_units.pieces))
    over, sizes = model.bridge(log_probs, torch.tensor([len(said)]), model.text_encoder)
    ids = torch.tensor([own_ids(units, tokenizer)(TEXT)])
    read, lengths = model.encode(False, ids, torch.tensor([ids.shape[1]]))
    assert sizes.tolist() == lengths.tolist()
    torch.testing.assert_close(over, read, atol=1e-5, rtol=1e-5)


def recognizer_of(settings: ModelSettings, tokenizer: Tokenizer, **options: object) -> Recognizer:
    torch.manual_seed(1)
    model, units = build_model(settings, tokenizer)
    assert settings.text_encoder is not None
    source = own_ids(settings.text_encoder.units, tokenizer)
    packed = Packed(model.eval(), tokenizer, settings, units, source, set(), ("slu", "nlu"))
    search = SearchOptions(**options)  # type: ignore[arg-type]
    return Recognizer(packed, options=search)


class SureHead(torch.nn.Module):
    """A CTC head that hears TEXT in everything."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        said = [label for unit in units.ids(TEXT) for label in (unit, BLANK)]
        self.answer = certain(said, len(units.pieces))

    def log_probs(self, memory: Tensor) -> Tensor:
        padded = torch.full((len(memory), memory.shape[1], self.answer.shape[2]), -20.0)
        padded[..., BLANK] = 0.0
        padded[:, : self.answer.shape[1]] = self.answer
        return padded


def test_over_the_bridge_a_recording_is_understood_as_its_text(tokenizer: Tokenizer) -> None:
    recognizer = recognizer_of(bridged(), tokenizer, beam=3, bridge=1.0)
    recognizer.packed.model.ctc = SureHead(build_units("characters", tokenizer))  # type: ignore
    recognizer._model.ctc = recognizer.packed.model.ctc
    features = torch.randn(400, 16).numpy()
    # Tasks differ in their first token only: here both are told slu.
    (spoken,) = recognizer.recognize([features], "slu")
    model: Atat = recognizer.packed.model
    read, lengths = model.encode(
        False, torch.tensor([recognizer.text_source(TEXT).tolist()]), torch.tensor([len(TEXT) + 3])
    )
    crossed, sizes = model.cross(model.ctc.log_probs(torch.zeros(1, 100, 32)), torch.tensor([100]))
    assert sizes.tolist() == [read.shape[1]]
    torch.testing.assert_close(crossed, read, atol=1e-4, rtol=1e-4)
    without = recognizer_of(bridged(), tokenizer, beam=3).recognize([features], "slu")[0]
    assert spoken.nbest != without.nbest


def test_both_memories_are_read_with_their_weights(tokenizer: Tokenizer) -> None:
    model: Atat = recognizer_of(bridged(), tokenizer).packed.model
    source, lengths = torch.randn(3, 120, 16), torch.tensor([120, 90, 101])
    memory, sizes = model.encode(True, source, lengths)
    assert model.ctc is not None
    start = torch.full((3,), tokenizer.task_id("slu"))

    def said(*memories: tuple[Tensor, Tensor]) -> list[DecoderScorer]:
        return [DecoderScorer(model, model.decoder.start(*one, 1)) for one in memories]

    own, crossed = (memory, sizes), model.cross(model.ctc.log_probs(memory), sizes)
    alone = [scorer.step(start).log_softmax(-1) for scorer in said(own, crossed)]
    both = MixedScorer(said(own, crossed), [0.3, 0.7]).step(start)
    torch.testing.assert_close(both, 0.3 * alone[0] + 0.7 * alone[1])
    twice = MixedScorer(said(own, own), [0.5, 0.5]).step(start)
    torch.testing.assert_close(twice, alone[0])


def test_a_search_with_both_lies_between_the_two(tokenizer: Tokenizer) -> None:
    torch.manual_seed(1)
    features = [torch.randn(length, 16).numpy() for length in (120, 90, 101)]
    found = {}
    for share in (0.0, 1e-6, 0.5, 1 - 1e-6, 1.0):
        torch.manual_seed(0)
        recognizer = recognizer_of(bridged(), tokenizer, beam=3, nbest=3, bridge=share)
        found[share] = [
            [(one.text, round(one.score, 3)) for one in result.nbest]
            for result in recognizer.recognize(features, "slu")
        ]
    assert found[0.0] == found[1e-6] and found[1.0] == found[1 - 1e-6]
    assert found[0.5] not in (found[0.0], found[1.0])
    with pytest.raises(InputError, match="expected 0 to 1"):
        recognizer_of(bridged(), tokenizer, bridge=1.5)


def test_a_bridge_needs_letters_on_both_sides() -> None:
    with pytest.raises(InputError, match="ctc.units is pieces, text_encoder.units is characters"):
        replace(bridged(), ctc=CtcSettings(weight=0.3, units="pieces"))
    with pytest.raises(InputError, match=r"ctc\.weight above 0"):
        replace(bridged(), ctc=CtcSettings(weight=0.0))
    with pytest.raises(InputError, match="expected 0 to 1"):
        BridgeSettings(1.5)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_head_has_no_weight_that_is_none(weight: float) -> None:
    with pytest.raises(InputError, match="ctc.weight is .*; expected a number of at least 0"):
        CtcSettings(weight=weight)


def test_a_model_without_bridge_or_head_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"model\.bridge"):
        recognizer_of(tiny.MODEL, tokenizer, bridge=1.0)
    with pytest.raises(InputError, match="without.*CTC|CTC head"):
        headless = replace(tiny.MODEL, ctc=CtcSettings(weight=0.0))
        recognizer_of(headless, tokenizer, ctc_weight=0.3)
    with pytest.raises(InputError, match="phones cannot judge word pieces"):
        recognizer_of(bridged("phones"), tokenizer, ctc_weight=0.3)
    with pytest.raises(InputError, match="less than 1"):
        recognizer_of(tiny.MODEL, tokenizer, ctc_weight=1.0)


def test_the_loss_reaches_the_head_over_the_bridge(tmp_path: Path) -> None:
    corpus = tiny.make_corpus(tmp_path)
    settings = tiny.training(corpus, model=bridged(share=1.0))
    parts = build(settings)
    model, data = parts.packed.model, parts.train[1]  # slu
    batch = data.collate([data.example(number) for number in range(4)])
    model.train()
    with torch.no_grad():  # the head hears something everywhere
        model.ctc.output.bias[BLANK] = -9.0
    # However little is heard, it is as much as is wanted.
    batch = replace(batch, unit_lengths=torch.zeros_like(batch.unit_lengths))
    crossed = model.losses(batch)["ce"].total
    crossed.backward()
    assert model.ctc.output.weight.grad is not None and model.ctc.output.weight.grad.any()
    assert model.text_encoder.embedding.weight.grad.any()
    model.eval()
    assert model.losses(batch)["ce"].total != crossed  # validation reads the audio itself


def test_where_the_head_hears_nothing_the_decoder_reads_the_audio(tokenizer: Tokenizer) -> None:
    """Of masked recordings, too, of which nobody says how many units there are."""
    model, _ = build_model(bridged(share=1.0), tokenizer)
    model.train()
    memory, lengths = torch.randn(2, 9, 32), torch.tensor([9, 7])
    batch = SimpleNamespace(unit_lengths=torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        model.ctc.output.bias[BLANK] = 99.0
        found, sizes = model._partly_crossed(batch, memory, lengths)  # type: ignore[arg-type]
        assert torch.equal(found, memory) and torch.equal(sizes, lengths)
        model.ctc.output.bias[BLANK] = -99.0
        found, sizes = model._partly_crossed(batch, memory, lengths)  # type: ignore[arg-type]
    assert not torch.equal(found[:, :9], memory) and int(sizes.min()) > 2


def test_less_than_half_of_the_units_heard_is_too_little(tokenizer: Tokenizer) -> None:
    model, _ = build_model(bridged(share=1.0), tokenizer)
    model.train()
    memory, lengths = torch.randn(1, 9, 32), torch.tensor([9])
    with torch.no_grad():
        model.ctc.output.bias[BLANK] = -99.0
        _, counted = heard(model.ctc.log_probs(memory), lengths)
        for more, crosses in ((0, True), (1, False)):
            batch = SimpleNamespace(unit_lengths=2 * counted + more)
            found, _ = model._partly_crossed(batch, memory, lengths)  # type: ignore[arg-type]
            assert torch.equal(found[:, :9], memory) != crosses


def test_a_transcript_is_framed_as_the_text_encoder_reads_it(tokenizer: Tokenizer) -> None:
    model, units = build_model(bridged("phones"), tokenizer)
    assert units is not None and model.bridge is not None
    texts = ["play more music", "now"]
    batch = [torch.tensor(units.ids(text)) for text in texts]
    lengths = torch.tensor([len(ids) for ids in batch])
    ids, sizes = model.bridge.framed(torch.nn.utils.rnn.pad_sequence(batch, True), lengths)
    for text, row, size in zip(texts, ids, sizes):
        read = own_ids("phones", tokenizer)(text)
        assert row[:size].tolist() == read and not row[size:].any()


def test_consistency_teaches_the_recordings_and_leaves_the_text_as_it_is(tmp_path: Path) -> None:
    """What its transcript says is what a recording is to say, where there is a transcript."""
    corpus = tiny.make_corpus(tmp_path)
    settings = tiny.training(corpus, model=bridged(share=0.01))
    settings = replace(settings, optim=replace(settings.optim, consistency=0.5))
    parts = build(settings)
    model, data = parts.packed.model, parts.train[1]  # slu
    batch = data.collate([data.example(number) for number in range(4)])
    model.bridge_share = 0.0  # nothing random
    model.train()
    term = model.losses(batch)["consistency"]
    assert term.weight == 0.5 and term.total > 0
    term.total.backward()
    assert any(weight.grad is not None for weight in model.audio_encoder.parameters())
    assert not any(weight.grad is not None for weight in model.text_encoder.parameters())
    # Of half of the recordings nothing is known.
    known = batch.unit_lengths * torch.tensor([1, 1, 0, 0])
    half = model.losses(replace(batch, unit_lengths=known))["consistency"].total.detach()
    first = replace(batch, weights=torch.tensor([1.0, 1.0, 0.0, 0.0]))
    whole = model.losses(first)["consistency"].total.detach()
    torch.testing.assert_close(half, whole)
    assert "consistency" in model.terms
    # Words that are hidden from the text encoder are not hidden from the text of recordings.
    model.text_encoder.hidden_words = 0.9
    torch.testing.assert_close(model.losses(first)["consistency"].total.detach(), whole)
    model.eval()
    assert "consistency" not in model.losses(batch)


def test_divergence_is_that_of_the_definition_and_nothing_of_padding() -> None:
    logits, teacher = torch.randn(2, 2, 3, 5, generator=torch.manual_seed(1))
    outputs = torch.tensor([[1, 2, 3], [4, IGNORE, IGNORE]])
    weights = torch.tensor([1.0, 0.5])
    wanted = 0.0
    for row, position in ((0, 0), (0, 1), (0, 2), (1, 0)):
        p = teacher[row, position].double().softmax(0)
        q = logits[row, position].double().softmax(0)
        wanted += float(weights[row] * (p * (p / q).log()).sum())
    found = divergence_sum(logits, teacher, outputs, weights)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    assert float(divergence_sum(teacher, teacher, outputs, weights)) == pytest.approx(0, abs=1e-6)


def test_consistency_needs_a_bridge(tmp_path: Path) -> None:
    settings = tiny.training(tiny.make_corpus(tmp_path))
    optim = replace(settings.optim, consistency=1.0)
    with pytest.raises(InputError, match=r"optim\.consistency is 1, but the model has no bridge"):
        build(replace(settings, optim=optim))
    with pytest.raises(InputError, match="expected at least 0"):
        replace(optim, consistency=-1.0)
    heard = tuple(source for source in settings.train if source.task == "slu")
    with pytest.raises(InputError, match="no task of the mix reads text, .* add a source of task"):
        build(replace(settings, optim=optim, model=bridged(), train=heard))


def test_trained_packed_and_decoded_over_the_bridge_and_guided(tmp_path: Path) -> None:
    corpus = tiny.make_corpus(tmp_path)
    train(tiny.training(corpus, model=bridged()), tmp_path / "run")
    plain = [*("--model", str(tmp_path / "run" / "model")), *("--data", str(corpus / "dev"))]
    hyps = []
    ways = ([], ["--bridge"], ["--bridge", "0.5"], ["--bridge", "--ctc_weight", "0.5"])
    for number, more in enumerate(ways):
        out = tmp_path / f"decode{number}"
        decode.main([*plain, "--task", "slu", "--out", str(out), *more])
        hyps.append((out / "nbest.jsonl").read_text())
    assert len(set(hyps)) == 4
