"""SincNet and the modules over it: bands, lengths, padding, sizes."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from atat.nn import sincnet
from atat.nn.acoustic import (
    PHONE_SAMPLES,
    WORD_SAMPLES,
    AcousticModel,
    Frames,
    IntentModule,
    halved,
)
from atat.nn.bigru import bigru, reversal
from atat.nn.sincnet import RATE, SincFilters, SincNet

LENGTHS = [1, 79, 80, 81, 160, 161, 320, 639, 640, 641, 2560, 2561, 8000]


def response(filters: SincFilters) -> tuple[Tensor, Tensor]:
    """Frequencies (F,) in Hz, and the gain of each filter at each of them (C, F)."""
    padded = nn.functional.pad(filters.filters().detach(), (0, 16000 - sincnet.LENGTH))
    return torch.fft.rfftfreq(16000, 1 / RATE), torch.fft.rfft(padded).abs()


@pytest.mark.parametrize("moved", [False, True])
def test_filters_pass_their_band_and_nothing_else(moved: bool) -> None:
    filters = SincFilters()
    if moved:  # as training may leave them; negative values count as positive ones
        torch.manual_seed(0)
        filters.low.data = (torch.rand(80) - 0.5) * 0.4
        filters.width.data = (torch.rand(80) - 0.5) * 0.5
        filters.width.data = filters.width.clamp(-0.25, 0.25)
    frequencies, gains = response(filters)
    slope = 3.3 * RATE / sincnet.LENGTH / 2  # half of the transition of a Hamming window
    for gain, low, high in zip(gains, *(edge.detach() * RATE for edge in filters.edges())):
        assert high - low > 49 and low > 49
        middle = (low + slope < frequencies) & (frequencies < high - slope)
        outside = (frequencies < low - slope) | (frequencies > high + slope)
        if middle.any():
            passed = gain[middle]
            assert passed.max() < 1.05 * passed.min()
        assert gain[outside].max() < 0.05 * gain.max()
        peak = frequencies[gain.argmax()]
        assert low - 1 <= peak <= high + 1


def test_the_first_filters_are_spaced_in_mel() -> None:
    low, high = (edge.detach() * RATE for edge in SincFilters().edges())
    assert float(low[0]) == pytest.approx(30 + 50) and float(high[-1]) == pytest.approx(7900 + 100)
    centres = torch.cat([high[:-2] - 100, torch.tensor([8000.0])])  # filter i ends at that of i + 1
    torch.testing.assert_close(low[2:] - 50, centres[:-1], rtol=1e-4, atol=0.01)
    mel = 2595 * torch.log10(1 + centres / 700)
    torch.testing.assert_close(
        mel.diff(), mel.diff().mean().expand(len(mel) - 1), rtol=1e-3, atol=0.01
    )


def test_a_filter_is_one_at_its_maximum_and_symmetric() -> None:
    filters = SincFilters().filters()
    torch.testing.assert_close(filters.amax(1), torch.ones(80))
    torch.testing.assert_close(filters, filters.flip(1))


def test_all_weights_of_the_front_end_learn() -> None:
    torch.manual_seed(0)
    front = SincNet()
    states, _ = front(torch.randn(2, 4000), torch.tensor([4000, 3000]))
    states.square().sum().backward()
    for name, parameter in front.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_are_rounded_up_at_every_step(length: int) -> None:
    model = AcousticModel(42, 10).eval()
    samples = torch.randn(1, length)
    filtered = model.phonemes.sincnet.sinc(samples)
    assert filtered.shape == (1, 80, ceil(length / 80))
    states, lengths = model.phonemes.sincnet(samples, torch.tensor([length]))
    assert states.shape == (1, ceil(length / 160), 60) and lengths.tolist() == [ceil(length / 160)]
    phonemes, words = model(samples, torch.tensor([length]))
    for found, size in ((phonemes, PHONE_SAMPLES), (words, WORD_SAMPLES)):
        assert found.lengths.tolist() == [ceil(length / size)] == [found.states.shape[1]]


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model, intent = AcousticModel(42, 10).eval(), IntentModule(24).eval()
    alone = [torch.randn(length) for length in LENGTHS]
    batch = nn.utils.rnn.pad_sequence(alone, batch_first=True)
    batch = nn.functional.pad(batch, (0, 4321))
    phonemes, words = model(batch, torch.tensor(LENGTHS))
    together = intent(words)
    for row, samples in enumerate(alone):
        one_phonemes, one_words = model(samples[None], torch.tensor([len(samples)]))
        for whole, one in ((phonemes, one_phonemes), (words, one_words)):
            size = int(one.lengths[0])
            assert int(whole.lengths[row]) == size
            torch.testing.assert_close(
                whole.states[row, :size], one.states[0], atol=1e-5, rtol=1e-4
            )
        torch.testing.assert_close(together[row], intent(one_words)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("learns", ["all", "inputs", "weights"])
@pytest.mark.parametrize("lengths", [[7], [4, 9, 1, 9, 3], [5, 5, 5]])
def test_the_faster_gru_is_torchs(lengths: list[int], learns: str) -> None:
    torch.manual_seed(0)
    gru = nn.GRU(6, 4, batch_first=True, bidirectional=True).double()
    for weight in gru.parameters():
        weight.requires_grad_(learns != "inputs")
    samples = torch.randn(len(lengths), max(lengths), 6).double()
    samples.requires_grad_(learns != "weights")
    packed = [
        pack_padded_sequence(samples, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        for _ in range(2)  # each with a graph of its own
    ]
    wanted, found = gru(packed[0])[0], bigru(gru, packed[1])
    assert "Steps" in str(found.data.grad_fn.next_functions[0][0].next_functions)
    torch.testing.assert_close(found.data, wanted.data)
    for one, other in zip(found[1:], wanted[1:]):
        assert torch.equal(one, other)
    leaves = [one for one in (samples, *gru.parameters()) if one.requires_grad]
    weights = torch.randn_like(wanted.data)
    for one, other in zip(
        *(torch.autograd.grad((x.data * weights).sum(), leaves) for x in (found, wanted))
    ):
        torch.testing.assert_close(one, other)


def test_frames_of_a_packed_batch_are_turned_round_within_their_recording() -> None:
    lengths = torch.tensor([5, 3, 3, 1])
    rows = torch.arange(12).reshape(4, 3).repeat(1, 2)[:, :5]
    packed = pack_padded_sequence(rows, lengths, batch_first=True)
    turned, _ = pad_packed_sequence(
        packed._replace(data=packed.data[reversal(packed.batch_sizes)]), batch_first=True
    )
    for row, found, length in zip(rows, turned, lengths.tolist()):
        assert found[:length].tolist() == row[:length].tolist()[::-1]


def test_halving_takes_the_mean_of_valid_frames() -> None:
    states = torch.arange(10.0).view(2, 5, 1)
    found = halved(Frames(states, torch.tensor([5, 2])))
    assert found.lengths.tolist() == [3, 1]
    assert found.states[0, :, 0].tolist() == [0.5, 2.5, 4.0]
    assert found.states[1, 0, 0] == 5.5


def test_the_intent_is_the_maximum_over_time() -> None:
    torch.manual_seed(0)
    intent = IntentModule(7).eval()
    frames = Frames(torch.randn(1, 5, 256), torch.tensor([5]))
    each = intent.head(intent.layer(frames).states)[0]
    torch.testing.assert_close(intent(frames)[0], each.max(0).values)


def test_sizes_are_those_of_the_paper() -> None:
    model, intent = AcousticModel(42, 10_000), IntentModule(24)
    sizes = [
        sum(parameter.numel() for parameter in module.parameters())
        for module in (model.phonemes, model.words, intent)
    ]
    assert sizes == [495_442, 3_162_896, 302_616]
    assert [round(size / 1e6, 2) for size in sizes] == [0.50, 3.16, 0.30]


def test_layers_from_the_top_are_all_but_the_heads() -> None:
    model = AcousticModel(42, 10)
    for module, count in ((model.phonemes, 5), (model.words, 2)):
        layers = module.from_the_top()
        assert len(layers) == count
        assert module.head is not None
        chosen = {id(p) for layer in layers for p in layer.parameters()}
        heads = {id(p) for p in module.head.parameters()}
        assert chosen | heads == {id(p) for p in module.parameters()} and not chosen & heads
