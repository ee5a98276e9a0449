"""Laws of the network: padding, causality, cache, and what its parts are made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from torch.nn.functional import scaled_dot_product_attention

from atat.nn import attention
from atat.nn.attention import attend
from atat.nn.audio_encoder import AudioEncoder
from atat.nn.cpu_weights import can_reorder, for_inference
from atat.nn.dropout import Dropout
from atat.nn.loss import IGNORE, correct_tokens, cross_entropy_sum
from atat.nn.settings import AudioEncoderSettings, TextEncoderSettings
from atat.systems.joint import generate
from atat.systems.joint.batch import Example, collate
from atat.systems.joint.model import Atat, build_model
from atat.text.ctc_labels import CharacterUnits, PhoneUnits, PieceUnits, frames_needed


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer()


@pytest.fixture()
def model(tokenizer) -> Atat:
    torch.manual_seed(0)
    return build_model(tiny.MODEL, tokenizer)[0].eval()


def examples(tokenizer, lengths: list[int], audio: bool = True) -> list[Example]:
    generator = torch.Generator().manual_seed(7)
    found = []
    for number, length in enumerate(lengths):
        if audio:
            source = torch.randn(length, 16, generator=generator).numpy()
        else:
            source = torch.randint(5, 60, (length,), generator=generator).numpy()
        words = " ".join(tiny.WORDS[: 2 + number])
        target = [tokenizer.task_id("asr"), *tokenizer.encode_text(words), tokenizer.eos_id]
        found.append(Example(f"u{number}", "asr", source, target, CharacterUnits().ids("a b")))
    return found


@pytest.mark.parametrize("audio", [True, False])
def test_padding_changes_nothing(model, tokenizer, audio):
    short, long = examples(tokenizer, [37, 90], audio)
    together, alone = collate([short, long]), collate([short])
    with torch.no_grad():
        memory, lengths = model.encode(audio, together.source, together.source_lengths)
        own, own_lengths = model.encode(audio, alone.source, alone.source_lengths)
        assert int(lengths[0]) == int(own_lengths[0]) == own.shape[1]
        torch.testing.assert_close(memory[0, : own.shape[1]], own[0], atol=1e-5, rtol=1e-4)
        logits = model.decoder(together.inputs, memory, lengths)
        own_logits = model.decoder(alone.inputs, own, own_lengths)
    size = own_logits.shape[1]
    torch.testing.assert_close(logits[0, :size], own_logits[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2)])
def test_padding_changes_nothing_whatever_strides_and_pools(strides):
    settings = AudioEncoderSettings(
        mel_bins=13,
        conv_channels=(3, 4),
        time_stride=strides,
        freq_stride=strides,
        time_pool=(2, 3),
        freq_pool=(2, 1),
        layers=1,
        heads=2,
        feed_forward=16,
    )
    torch.manual_seed(1)
    encoder = AudioEncoder(settings, 8).eval()
    features = torch.randn(1, 31, 13)
    padded = torch.cat([features, torch.full((1, 20, 13), 9.0)], dim=1)
    with torch.no_grad():
        own, length = encoder(features, torch.tensor([31]))
        other, other_length = encoder(padded, torch.tensor([31]))
    assert own.shape[1] == int(length) == int(other_length) == -(-31 // settings.subsampling)
    torch.testing.assert_close(other[:, : own.shape[1]], own, atol=1e-5, rtol=1e-4)


def test_the_sum_of_losses_is_the_sum_of_the_losses_one_by_one(model, tokenizer):
    batch = examples(tokenizer, [40, 64, 90])
    with torch.no_grad():
        together = model.losses(collate(batch))
        alone = [model.losses(collate([example])) for example in batch]
    for term in model.terms:
        total = sum(float(losses[term].total) for losses in alone)
        assert float(together[term].total) == pytest.approx(total, rel=1e-4)


def test_the_future_changes_nothing(model, tokenizer):
    batch = collate(examples(tokenizer, [50, 50]))
    other = batch.inputs.clone()
    other[:, 3:] = 5
    with torch.no_grad():
        memory, lengths = model.encode(True, batch.source, batch.source_lengths)
        one = model.decoder(batch.inputs, memory, lengths)
        two = model.decoder(other, memory, lengths)
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


@pytest.mark.parametrize("audio", [True, False])
def test_encoding_in_parts_of_like_length_equals_encoding_at_once(
    model, tokenizer, audio, monkeypatch
):
    monkeypatch.setattr(generate, "ENCODED_AT_ONCE", 100)
    batch = collate(examples(tokenizer, [50, 9, 80, 31, 61], audio))
    with torch.no_grad():
        once, lengths = model.encode(audio, batch.source, batch.source_lengths)
        parts, part_lengths = generate.encode_by_length(
            lambda rows, sizes: model.encode(audio, rows, sizes), batch.source, batch.source_lengths
        )
    assert torch.equal(lengths, part_lengths)
    for one, other, length in zip(once, parts, lengths):
        torch.testing.assert_close(other[:length], one[:length])


def test_cached_decoding_equals_uncached(model, tokenizer):
    batch = collate(examples(tokenizer, [50, 80, 61]))
    beam = 2
    with torch.no_grad():
        memory, lengths = model.encode(True, batch.source, batch.source_lengths)
        full = model.decoder(batch.inputs, memory, lengths)
        state = model.decoder.start(memory, lengths, beam)
        for position in range(batch.inputs.shape[1]):
            tokens = batch.inputs[:, position].repeat_interleave(beam)
            step = model.decoder.step(tokens, state).view(3, beam, -1)
            torch.testing.assert_close(step[:, 0], full[:, position], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(step[:, 1], full[:, position], atol=1e-5, rtol=1e-4)


def test_state_follows_reordered_hypotheses_and_dropped_utterances(model, tokenizer):
    batch = collate(examples(tokenizer, [50, 80]))
    prefix = batch.inputs[:, :3]
    other = prefix.flip(0)
    with torch.no_grad():
        memory, lengths = model.encode(True, batch.source, batch.source_lengths)
        state = model.decoder.start(memory, lengths, 2)
        for position in range(3):
            tokens = torch.stack([prefix[:, position], other[:, position]], 1).view(-1)
            model.decoder.step(tokens, state)
        state.reorder(torch.tensor([1, 0, 3, 2]))
        state.keep(torch.tensor([1]))
        step = model.decoder.step(torch.tensor([9, 9]), state)
        memory, lengths = model.encode(True, batch.source[1:], batch.source_lengths[1:])
        for row, tokens in enumerate([other[1], prefix[1]]):
            inputs = torch.cat([tokens, torch.tensor([9])])[None]
            full = model.decoder(inputs, memory, lengths)[0, -1]
            torch.testing.assert_close(step[row], full, atol=1e-5, rtol=1e-4)


def test_hypotheses_that_branch_and_end_keep_their_own_past(model, tokenizer):
    batch, beam, steps = collate(examples(tokenizer, [50, 80])), 3, 40  # more than a block of room
    generator = torch.Generator().manual_seed(0)
    prefixes = [[] for _ in range(2 * beam)]
    with torch.no_grad():
        memory, lengths = model.encode(True, batch.source, batch.source_lengths)
        state = model.decoder.start(memory, lengths, beam)
        for _ in range(steps):
            tokens = torch.randint(5, 20, (2 * beam,), generator=generator)
            prefixes = [[*prefix, int(token)] for prefix, token in zip(prefixes, tokens)]
            step = model.decoder.step(tokens, state)
            chosen = torch.randint(beam, (2, beam), generator=generator)
            rows = (chosen + torch.tensor([[0], [beam]])).view(-1)
            state.reorder(rows)
            last, prefixes = prefixes, [prefixes[row] for row in rows]
        memory, lengths = memory.repeat_interleave(beam, 0), lengths.repeat_interleave(beam, 0)
        full = model.decoder(torch.tensor(last), memory, lengths)[:, -1]
        torch.testing.assert_close(step, full, atol=1e-5, rtol=1e-4)


def key_mask() -> torch.Tensor:
    """Keys of two utterances, the second one padded: (2, 1, 1, 7)."""
    return (torch.arange(7) < torch.tensor([[7], [4]]))[:, None, None, :]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["causal", "keys", "added", "none"])
def test_attention_written_out_equals_torchs_own(kind, dtype):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 8, dtype=dtype) for _ in range(3))
    mask = {"keys": key_mask(), "added": torch.randn(2, 1, 7, 7).to(dtype)}.get(kind)
    expected = scaled_dot_product_attention(query, key, value, mask, is_causal=kind == "causal")
    close = {"atol": 0.03, "rtol": 0.03} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(attend(query, key, value, mask, kind == "causal"), expected, **close)


def test_attention_too_large_to_be_written_out_is_the_same(monkeypatch):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 8) for _ in range(3))
    small = attend(query, key, value, key_mask())
    monkeypatch.setattr(attention, "LARGEST_SCORES", 1)
    torch.testing.assert_close(attend(query, key, value, key_mask()), small)


def test_dropout_keeps_the_mean_drops_its_share_and_follows_the_seed():
    dropout = Dropout(0.25)
    torch.manual_seed(3)
    once = dropout(torch.ones(100, 1001))
    torch.manual_seed(3)
    assert torch.equal(once, dropout(torch.ones(100, 1001)))
    assert float((once == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(once.mean()) == pytest.approx(1.0, abs=0.01)
    assert torch.equal(dropout.eval()(once), once)


def test_bf16_is_close_to_fp32(model, tokenizer):
    batch = collate(examples(tokenizer, [40, 64, 90]))
    with torch.no_grad():
        exact = model.losses(batch)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = model.losses(batch)
    for term in ("ce", "ctc"):
        assert float(coarse[term].total) == pytest.approx(float(exact[term].total), rel=0.02)


@pytest.mark.parametrize("reordered", [True, False])
def test_weights_held_in_bf16_give_what_autocast_gives(model, tokenizer, monkeypatch, reordered):
    if not reordered:  # a processor without the products
        monkeypatch.setattr("atat.nn.cpu_weights.can_reorder", lambda precision: False)
    batch = collate(examples(tokenizer, [40, 64, 90]))
    with torch.no_grad():
        exact = float(model.losses(batch)["ce"].total)
        with torch.autocast("cpu", torch.bfloat16):
            before = float(model.losses(batch)["ce"].total)
            after = float(for_inference(model, "bf16").losses(batch)["ce"].total)
    assert after == pytest.approx(before, rel=0.001)
    assert after == pytest.approx(exact, rel=0.02)


def test_a_model_made_ready_for_inference_is_the_same_and_leaves_the_other_alone(model, tokenizer):
    batch = collate(examples(tokenizer, [40, 64, 90]))
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        before = model.losses(batch)
        for precision in ("bf16", "fp32"):
            ready = for_inference(model, precision)
        after = ready.losses(batch)
    for term, loss in before.items():
        assert float(after[term].total) == pytest.approx(float(loss.total), rel=1e-5)
    assert {name: weight.dtype for name, weight in model.state_dict().items()} == {
        name: weight.dtype for name, weight in weights.items()
    }
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    found = any(isinstance(module, torch.nn.Linear) for module in ready.modules())
    assert found != can_reorder()


def test_loss_without_smoothing_is_the_log_likelihood():
    torch.manual_seed(0)
    logits, outputs = torch.randn(2, 3, 5), torch.tensor([[1, 4, IGNORE], [0, 2, 3]])
    weights = torch.tensor([1.0, 0.5])
    log_probs = logits.log_softmax(-1)
    expected = -(log_probs[0, 0, 1] + log_probs[0, 1, 4]) - 0.5 * (
        log_probs[1, 0, 0] + log_probs[1, 1, 2] + log_probs[1, 2, 3]
    )
    torch.testing.assert_close(cross_entropy_sum(logits, outputs, weights, 0.0), expected)


def test_no_more_than_all_tokens_can_be_right_whatever_the_weights(model, tokenizer):
    batch = collate(examples(tokenizer, [40, 64]))
    light = replace(batch, weights=torch.tensor([0.5, 0.25]))
    logits = torch.nn.functional.one_hot(batch.outputs.clamp(min=0), tokenizer.vocab_size).float()
    right = correct_tokens(logits, light.outputs, light.weights)
    assert float(right) == pytest.approx(light.counts()["ce"])


def test_embedding_and_generator_are_tied_and_new_rows_are_a_parameter_of_their_own(model):
    embedding = model.decoder.embedding
    before = embedding.weight().clone()
    model.extend(3)
    assert embedding.extension.shape == (3, 32)
    torch.testing.assert_close(embedding.weight()[:-3], before)
    assert embedding.logits(torch.eye(32)[None])[0].T.equal(embedding.weight())


def test_units_of_ctc(tokenizer):
    characters, pieces = CharacterUnits(), PieceUnits(tokenizer)
    ids = characters.ids("aa é")
    assert [characters.pieces[i] for i in ids] == ["▁", "a", "a", "▁", "?"]
    assert frames_needed(ids) == 6
    assert "".join(pieces.pieces[i] for i in pieces.ids("the song")) == "▁the▁song"
    assert 0 not in ids + pieces.ids("the song")


def test_phones_are_what_is_said_not_what_is_written():
    pytest.importorskip("espeakng_loader")
    units = PhoneUnits()

    def said(text: str) -> str:
        return " ".join(units.pieces[i] for i in units.ids(text))

    assert said("mocha shot") == "▁ M OW K AH ▁ SH AA T"
    assert said("moka shot") == said("mocha shot")
    assert said("two") == said("too") == "▁ T UW"
    assert 0 not in units.ids("the song")


def test_a_bert_from_a_local_folder_is_the_text_encoder(tmp_path, tokenizer):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tiny.WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    sizes = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path / "bert")
    from atat.text.encoder_ids import build_encoder_ids

    text = TextEncoderSettings(kind="bert", bert=str(tmp_path / "bert"))
    model, _ = build_model(replace(tiny.MODEL, text_encoder=text), tokenizer)
    ids = build_encoder_ids(text.bert_or_none, tokenizer)("play the song")
    assert ids == [2, *(words.index(word) for word in ("play", "the", "song")), 3]
    memory, _ = model.eval().encode(
        False, torch.tensor([ids, [*ids[:3], 0, 0]]), torch.tensor([5, 3])
    )
    own, _ = model.encode(False, torch.tensor([ids[:3]]), torch.tensor([3]))
    assert memory.shape == (2, 5, 32)
    torch.testing.assert_close(memory[1, :3], own[0], atol=1e-5, rtol=1e-4)
    ready, _ = for_inference(model).encode(False, torch.tensor([ids[:3]]), torch.tensor([3]))
    torch.testing.assert_close(ready, own)


@pytest.mark.parametrize("name", ["transformer", "conformer", "e_branchformer"])
def test_an_espnet_encoder_is_the_audio_encoder_with_weights_of_an_espnet_model(
    tmp_path, tokenizer, name
):
    audio = AudioEncoderSettings(
        kind="espnet",
        espnet_name=name,
        mel_bins=80,
        layers=1,
        heads=2,
        feed_forward=32,
        espnet_options={"cgmlp_linear_units": 32} if name == "e_branchformer" else {},
    )
    settings = replace(tiny.MODEL, audio_encoder=audio)
    first = build_model(settings, tokenizer)[0].eval()
    # An ESPnet2 model file names the weights of its encoder `encoder.*`.
    state = {f"encoder.{k}": v for k, v in first.audio_encoder.encoder.state_dict().items()}
    torch.save({**state, "decoder.x": torch.zeros(1)}, tmp_path / "valid.acc.ave.pth")
    audio = replace(audio, espnet_weights=str(tmp_path / "valid.acc.ave.pth"))
    torch.manual_seed(5)
    second = build_model(replace(settings, audio_encoder=audio), tokenizer)[0].eval()
    features, lengths = torch.randn(2, 60, 80), torch.tensor([60, 44])
    with torch.no_grad():
        one, one_lengths = first.audio_encoder(features, lengths)
        two, two_lengths = second.audio_encoder(features, lengths)
    assert one.shape[1] == int(one_lengths[0]) and torch.equal(one_lengths, two_lengths)
    torch.testing.assert_close(one, two)
    with torch.no_grad():
        ready, _ = for_inference(first).audio_encoder(features, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            rough, _ = for_inference(first, "bf16").audio_encoder(features, lengths)
    torch.testing.assert_close(ready, one)
    torch.testing.assert_close(rough.float(), one, atol=0.1, rtol=0.1)
