"""The engine knows no system: a toy that is no AT-AT trains, resumes, decodes, scores and packs.

It hears raw samples and says one of two classes, high or low, as a tree without words. What a
system has to bring is `Toy` and the classes above it; the tests use the engine's commands only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import contents, fingerprint, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import checkpoint, decode, model_folder, pack, plain, quantize, registry, train
from atat.engine.contract import Budget, Group, Parts, Term
from atat.engine.loader import StepBatches
from atat.engine.sampler import Sampler
from atat.engine.settings import (
    BatchSettings,
    OptimSettings,
    RunSettings,
    SourceSettings,
    ValidSettings,
)
from atat.engine.trainer import Trainer
from atat.scoring import score_command
from atat.speech import audio
from atat.text.tasks import Task

CLASSES = ("[IN:LOW ]", "[IN:HIGH ]")


# --------------------------------------------------------------------------- the toy, whole


@dataclass(frozen=True, kw_only=True)
class ToySettings(RunSettings):
    hidden: int = 8

    def digests(self) -> dict[str, str]:
        return fingerprint.of_data(source.data for source in self.train)


@dataclass(frozen=True)
class ToyBatch(plain.TensorBatch):
    samples: Tensor  # (B, T)
    classes: Tensor  # (B,)

    def counts(self) -> dict[str, float]:
        return {"class": float(len(self.classes))}

    @property
    def audio_seconds(self) -> float:
        return self.samples.numel() / audio.SAMPLE_RATE


class ToySource(plain.PlainSource):
    budget = Budget("audio", "samples", "max_frames", float(audio.SAMPLE_RATE))

    def __init__(self, source: SourceSettings) -> None:
        super().__init__(source)
        self.samples = [contents.read_recording(one) for one in self.utterances]
        self.lengths = np.array([len(one) for one in self.samples])

    def example(self, number: int, rng: np.random.Generator | None = None) -> Any:
        noise = 0.0 if rng is None else 0.01 * rng.standard_normal(self.lengths[number])
        one = self.utterances[number]
        return one.id, self.samples[number] + noise, CLASSES.index(one.semantics or "")

    def collate(self, examples: Sequence[Any]) -> ToyBatch:
        names, samples, classes = zip(*examples)
        rows = [torch.tensor(one, dtype=torch.float32) for one in samples]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return ToyBatch(tuple(names), padded, torch.tensor(classes))


class ToyModel(nn.Module):
    terms, counts = ("class", "accuracy"), ("class",)

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = nn.Sequential(nn.Linear(2, hidden), nn.Dropout(0.1), nn.Linear(hidden, 2))

    def forward(self, samples: Tensor) -> Tensor:
        """(B, T) -> (B, 2), from the share of crossings of zero and the loudness."""
        crossings = (samples[:, 1:] * samples[:, :-1] < 0).float().mean(1)
        return self.layers(torch.stack([crossings * 10, samples.abs().mean(1)], 1))

    def losses(self, batch: ToyBatch) -> dict[str, Term]:
        logits = self(batch.samples)
        loss = nn.functional.cross_entropy(logits, batch.classes, reduction="sum")
        right = (logits.argmax(1) == batch.classes).sum()
        return {"class": Term(loss), "accuracy": Term(right, weight=0.0, of="class")}


class ToyPacked(plain.PlainPacked):
    def about(self) -> dict[str, Any]:
        return {"hidden": self.model.hidden}


class ToyRecognizer(plain.PlainRecognizer):
    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        return contents.read_recording(utterance)

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        with torch.inference_mode():
            found = [self.packed.model(torch.from_numpy(one)[None])[0] for one in sources]
        return [
            [{"text": CLASSES[int(one.argmax())], "score": float(one.max()), "length": 1}]
            for one in found
        ]


class Toy:
    name, settings, files, optional_files = "toy", ToySettings, (), ()
    tasks = {"classify": Task("classify", source="audio", target="semantics", masked=False)}
    recognizer = ToyRecognizer

    def build(self, settings: ToySettings) -> Parts:
        packed = ToyPacked(ToyModel(settings.hidden), system="toy")
        train = [ToySource(one) for one in settings.train]
        valid = [ToySource(one) for one in settings.valid.sources]
        return Parts(packed, train, valid, [Group(list(packed.model.parameters()))], width=8)

    def evaluate(self, model: ToyModel, source: ToySource, *_: Any) -> dict[str, float | None]:
        terms = model.losses(source.collate([source.example(n) for n in range(len(source))]))
        loss, right = (float(terms[name].total) / len(source) for name in model.terms)
        return {"loss": loss, "exact_match": right}

    def hears(self, folder: Path) -> str:
        return "wav"

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> ToyPacked:
        return ToyPacked(ToyModel(about["hidden"]), weights=about["weights"], system="toy")


# --------------------------------------------------------------------------- what it goes through


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(Toy())


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Forty tones, high and low, and a conf that learns which is which."""
    rng = np.random.default_rng(0)
    utterances = []
    for number in range(40):
        high = number % 2
        name, path = f"tone-{number:02d}", tmp_path / "wavs" / f"{number:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        time = np.arange(1600 + int(rng.integers(800))) / audio.SAMPLE_RATE
        audio.save(path, 0.3 * np.sin(2 * np.pi * (300 + 2000 * high) * time).astype(np.float32))
        utterances.append(Utterance(name, "tone", wav=str(path), semantics=CLASSES[high]))
    kaldi_dir.write(tmp_path / "data", utterances)
    settings = ToySettings(
        system="toy",
        train=(SourceSettings(str(tmp_path / "data"), "classify"),),
        steps=60,
        valid=ValidSettings(
            sources=(SourceSettings(str(tmp_path / "data"), "classify"),),
            every=30,
            select="exact_match",
        ),
        optim=OptimSettings(schedule="constant", peak=0.03, warmup=1),
        checkpoint_every=20,
        log_every=10,
        workers=0,
        precision="fp32",
    )
    config.save(tmp_path / "conf.yaml", settings)
    return tmp_path / "conf.yaml"


def trained(conf: Path, name: str) -> Path:
    train.main(["--config", str(conf), "--out", str(conf.parent / name)])
    return conf.parent / name


def test_it_trains_decodes_and_is_scored(conf: Path) -> None:
    run = trained(conf, "run")
    facts = json.loads((run / "train.json").read_text())
    last = facts["validations"][-1]["sources"][0]
    assert facts["steps"] == 60 and last["name"] == "classify/data" and last["exact_match"] == 1.0
    out, data = run / "decoded", conf.parent / "data"
    options = ["--model", str(run / "model"), "--data", str(data), "--out", str(out)]
    decode.main([*options, "--task", "classify"])
    score_command.main(["--data", str(data), "--decoded", str(out)])
    assert json.loads((out / "score.json").read_text())["metrics"]["em_full"]["value"] == 100.0


def test_resumed_is_uninterrupted(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = trained(conf, "straight")
    step = Trainer._step

    def interrupted(self: Trainer, number: int, batches: list[Any]) -> dict[str, float]:
        if number == 33:
            raise KeyboardInterrupt
        return step(self, number, batches)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(conf, "resumed")
    resumed = trained(conf, "resumed")
    one, other = (checkpoint.newest(run)[0] for run in (straight, resumed))
    assert one is not None and other is not None
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name


def test_each_step_reads_the_source_as_it_is_at_that_step(conf: Path) -> None:
    class Fading(ToySource):
        step = -1

        def at(self, step: int) -> Fading:
            found = copy(self)
            found.step = step
            return found

        def example(self, number: int, rng: np.random.Generator | None = None) -> Any:
            name, samples, label = super().example(number, None)
            return name, samples / (1 + self.step), label

    source = Fading(SourceSettings(str(conf.parent / "data"), "classify"))
    limits = BatchSettings(examples=4, block=2)
    sampler = Sampler([source.lengths], [1.0], [source.budget], limits, seed=1)
    batches = StepBatches([source], sampler, seed=1, rank=0)
    loudest = [max(float(batch.samples.max()) for batch in batches[step]) for step in (2, 0, 5)]
    assert loudest == pytest.approx([0.3 / 3, 0.3, 0.3 / 6], rel=1e-3) and source.step == -1


def test_it_is_packed_loaded_and_made_smaller(conf: Path) -> None:
    run = trained(conf, "run")
    pack.main([str(run), "--average", "2", "--out", str(run / "mean")])
    packed = model_folder.load(run / "mean")
    assert isinstance(packed, ToyPacked) and packed.about() == {"hidden": 8}
    quantize.main(["--model", str(run / "model"), "--out", str(run / "int8")])
    small = model_folder.load(run / "int8")
    assert small.weights == "int8"
    tone = torch.sin(torch.arange(1600) * 0.5)[None]
    exact = model_folder.load(run / "model").model(tone)
    torch.testing.assert_close(small.model(tone), exact, atol=0.2, rtol=0.1)


def test_a_run_is_refused_with_other_settings_and_an_unknown_task(conf: Path) -> None:
    run = trained(conf, "run")
    with pytest.raises(InputError, match="begun with `hidden` = 8, now 9"):
        train.main(["--config", str(conf), "--out", str(run), "--set", "hidden=9"])
    with pytest.raises(InputError, match="--task slu: unknown to the model's system .toy."):
        decode.main(["--model", str(run / "model"), "--data", "d", "--out", str(run / "d")])


def test_a_model_folder_does_not_choose_which_code_is_run(conf: Path) -> None:
    model = trained(conf, "run") / "model"
    (model / "SHA256SUMS").unlink()
    text = (model / "config.yaml").read_text()
    (model / "config.yaml").write_text(text.replace("system: toy", "system: os.path"))
    with pytest.raises(
        InputError,
        match="system `os.path` is not known; there are: distill, joint, lugosch",
    ):
        model_folder.load(model)


def test_a_system_of_ones_own_is_found_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_system.py").write_text(
        "from types import SimpleNamespace\nfrom atat.engine import registry\n"
        "registry.register(SimpleNamespace(name='mine'))\n"
    )
    with pytest.raises(InputError, match="ATAT_SYSTEMS"):
        registry.find("mine", "conf.yaml")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ATAT_SYSTEMS", "my_system")
    assert isinstance(registry.find("mine", "conf.yaml"), SimpleNamespace)
    monkeypatch.setenv("ATAT_SYSTEMS", "no_such_system")
    with pytest.raises(InputError, match="ATAT_SYSTEMS.*no_such_system"):
        registry.find("mine2", "conf.yaml")
