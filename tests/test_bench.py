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


@pytest.mark.parametrize("installed", [False, True])
def test_ctranslate2_is_measured_where_it_is_installed(local: Any, monkeypatch, installed) -> None:
    models, text = local("rows_models"), local("rows_text")
    monkeypatch.setattr(models, "has_ctranslate2", lambda: installed)
    for systems in (models.SEARCHED, text.READ):
        peers = {name for name in systems if name.startswith("CTranslate2")}
        assert peers & set(models.measured(systems, CPU)) == (peers if installed else set())
        # Otherwise its rows say why there is nothing; the other rows are as ever.
        rows = models.missing(systems, CPU, 5)
        assert {row[0] for row in rows} == (set() if installed else peers)
        for row in rows:
            assert len(row) == 5 and row[1] == "not installed (utils/bench.sh --peers)"
        assert "atat" in models.measured(systems, CPU)
    assert not models.missing(models.SEARCHED, torch.device("cuda"), 5)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_atat_reads_text_with_outputs_of_the_length_asked_for(local: Any, precision) -> None:
    made = local("system_atat_text").AtatText(CPU, precision=precision).eval()
    outputs = made.read(torch.randint(10, 5000, (3, 7)), torch.tensor([7, 2, 4]), 6)
    assert [len(output) for output in outputs] == [6, 6, 6]


def test_other_work_is_not_measured(local: Any, monkeypatch) -> None:
    text = local("rows_text")
    kind = text.inputs.COMMANDS
    right = [[5] * kind.tokens] * kind.utterances
    text.check_outputs("atat", kind, right)
    for wrong in (right[1:], [*right[1:], [5]]):
        with pytest.raises(RuntimeError, match="not the same work; atat gave .* tokens"):
            text.check_outputs("atat", kind, wrong)
    monkeypatch.setattr(text, "check_outputs", lambda *_: None)
    parameters = iter(range(100))
    monkeypatch.setattr(text, "once", lambda **_: {"parameters": next(parameters), "outputs": []})
    with pytest.raises(RuntimeError, match="numbers of parameters"):
        text.check(CPU)


@pytest.fixture
def peer(local: Any) -> Any:
    """CTranslate2 with atat's weights, made so small in the embedding that outputs vary."""
    pytest.importorskip("ctranslate2")
    made = local("system_ctranslate2").CTranslate2(CPU).eval()
    for weights in (made.encoder.embedding.weight, made.decoder.embedding.base):
        weights.data *= 0.2
    return made


def log_probs(made: Any, memory: torch.Tensor, start: list[int], output: list[int]) -> torch.Tensor:
    """(U,) log probability of each token, by atat's decoder, if the end cannot come."""
    tokens = torch.tensor([[*start, *output[:-1]]])
    with torch.no_grad():
        logits = made.decoder(tokens, memory[None], torch.tensor([len(memory)]))[0]
    logits[:, 1] = float("-inf")
    return logits[-len(output) :].log_softmax(-1).gather(1, torch.tensor(output)[:, None])[:, 0]


def test_ctranslate2_has_the_parameters_of_atat(local: Any, peer: Any) -> None:
    assert peer.size == local("system_atat_text").AtatText(CPU).size


def test_ctranslate2_reads_text_as_atat_does(peer: Any) -> None:
    source, lengths = torch.randint(10, 5000, (2, 9)), torch.tensor([9, 5])
    outputs = peer.read(source, lengths, 6)
    assert [len(output) for output in outputs] == [6, 6]
    found = peer.translator.translate_batch(
        [[str(i) for i in row[:n]] for row, n in zip(source.tolist(), lengths.tolist())],
        beam_size=4,
        min_decoding_length=6,
        max_decoding_length=6,
        return_scores=True,
    )
    for row, length, output, one in zip(source, lengths, outputs, found):
        with torch.no_grad():
            memory = peer.encoder(row[None, :length], length[None])[0]
        expected = log_probs(peer, memory, [2], output).mean()
        assert one.scores[0] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("length", [7, 80, 256])
def test_ctranslate2_searches_over_memories_as_atat_does(peer: Any, length) -> None:
    memory = torch.randn(length, 256)
    found = peer.generate(memory, 6, return_scores=True)
    output = found.sequences_ids[0]
    assert len(output) == 6
    expected = log_probs(peer, memory, [2, 3], output).mean()
    assert found.scores[0] == pytest.approx(float(expected), abs=1e-4)
    both = torch.stack([memory, torch.zeros_like(memory)])
    assert peer.search(both, torch.tensor([length, 3]), 6)[0] == output
