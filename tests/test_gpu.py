"""Laws of a GPU, skipped where torch finds none: it computes what the CPU computes.

Everything else is tested on the CPU; on a machine with a GPU the other test files train there, too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from atat.datadir import ark, kaldi_dir, tables
from atat.engine import assembly, decode, model_folder, pack, quantize
from atat.engine.settings import ValidSettings
from atat.engine.train import train
from atat.prepare.align_model import ModelAligner
from atat.speech.audio import SAMPLE_RATE
from atat.systems.joint.recognizer import Recognizer
from atat.systems.joint.settings import OptimSettings
from atat.systems.joint.system import system

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus) -> Path:
    """A model that has learned the tiny corpus by heart, on the GPU, in its own precision."""
    folder = corpus / "exp"
    train(tiny.training(corpus, steps=160, precision="auto"), folder)
    return folder / "model"


def test_auto_is_bf16_and_the_run_says_where_it_was_trained(trained):
    about = json.loads((trained.parent / "train.json").read_text())
    wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    assert about["precision"] == wanted
    assert torch.cuda.get_device_name(0) in json.dumps(about["provenance"])
    last = {v["name"]: v for v in about["validations"][-1]["sources"]}
    assert last["slu/dev"]["exact_match"] > 0.7 and last["nlu/dev"]["exact_match"] > 0.7


def test_losses_and_gradients_are_those_of_the_cpu(corpus, tmp_path):
    run = tiny.training(corpus, model=tiny.without_dropout())
    found = {}
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        trainer = assembly.build(system, run, tmp_path / "unused", device)
        for source in trainer.parts.train:
            batch = source.collate([source.example(n) for n in range(8)]).to(device)
            trainer.model.zero_grad()
            terms = trainer.model.losses(batch)
            sum(term.total * term.weight for term in terms.values()).backward()
            found[name, source.task] = (
                {key: float(term.total.detach()) for key, term in terms.items()},
                {
                    key: value.grad.cpu()
                    for key, value in trainer.model.named_parameters()
                    if value.grad is not None
                },
            )
    for task in ("asr", "slu", "nlu", "mlm"):
        losses, gradients = found["cpu", task]
        assert found["cuda", task][0] == pytest.approx(losses, rel=2e-3)
        largest = max(float(value.abs().max()) for value in gradients.values())
        assert gradients.keys() == found["cuda", task][1].keys()
        for key, value in gradients.items():
            difference = (value - found["cuda", task][1][key]).abs().max()
            assert float(difference) < 5e-3 * largest, (task, key)


def test_resumed_is_close_to_uninterrupted(corpus, tmp_path):
    """Only close: sums of a GPU come in any order. With a large eps Adam does not blow that up."""
    run = tiny.training(
        corpus,
        model=tiny.without_dropout(),
        valid=ValidSettings(),
        optim=OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2),
    )
    train(run, tmp_path / "straight")
    train(replace(run, steps=4), tmp_path / "broken")
    train(run, tmp_path / "broken")
    one, other = (
        model_folder.load(tmp_path / name / "model").model.state_dict()
        for name in ("straight", "broken")
    )
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=2e-3, rtol=1e-2, msg=name)


@pytest.mark.parametrize("options", [[], ["--well_formed"], ["--beam", "1"]])
@pytest.mark.parametrize("task", ["slu", "nlu", "asr"])
def test_decoded_on_a_gpu_as_on_the_cpu(corpus, trained, tmp_path, task, options):
    if task == "asr" and "--well_formed" in options:
        pytest.skip("well-formed trees are of slu and nlu")
    found = []
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        arguments = ["--model", str(trained), "--data", str(corpus / "dev"), "--task", task]
        arguments += ["--precision", "fp32", "--device", device, "--out", str(out), *options]
        decode.main(arguments)
        found.append(tables.read_table(out / "hyp"))
        lines = (out / "nbest.jsonl").read_text().splitlines()
        found.append({one["utt"]: one["nbest"][0]["score"] for one in map(json.loads, lines)})
    assert found[0] == found[2]
    assert found[1] == pytest.approx(found[3], rel=1e-3, abs=1e-3)


def test_bf16_decodes_what_was_learned(corpus, trained):
    recognizer = Recognizer.load(trained, device="cuda", precision="bf16")
    utterances = kaldi_dir.load(corpus / "dev")
    found = recognizer.recognize([ark.read(one.feats) for one in utterances], "slu")
    assert sum(a.text == b.semantics for a, b in zip(found, utterances)) > 0.7 * len(utterances)


def test_words_are_aligned_on_a_gpu_as_on_the_cpu(trained):
    rng = np.random.default_rng(0)
    audio = [0.1 * rng.standard_normal(SAMPLE_RATE * n).astype(np.float32) for n in (2, 3)]
    texts = ["play the red tango", "stop the blue song"]
    one, other = (ModelAligner(trained, device).align(audio, texts) for device in ("cpu", "cuda"))
    assert one == other


def test_a_model_trained_on_a_gpu_is_packed_and_quantized_for_the_cpu(corpus, trained, tmp_path):
    pack.main([str(trained.parent), "--out", str(tmp_path / "packed")])
    quantize.quantize(tmp_path / "packed", tmp_path / "int8")
    utterances = kaldi_dir.load(corpus / "dev")
    features = [ark.read(one.feats) for one in utterances]
    for folder in (tmp_path / "packed", tmp_path / "int8"):
        found = Recognizer.load(folder).recognize(features, "slu")
        right = sum(a.text == b.semantics for a, b in zip(found, utterances))
        assert right > 0.7 * len(utterances)
