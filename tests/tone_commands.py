"""Eight recordings of tones, a corpus of commands that several tests share, and their training.

A tone is a phone, two tones are a word, and what the words say is a command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base import config
from atat.datadir import kaldi_dir
from atat.datadir.ctm import Word, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.engine import train
from atat.engine.settings import (
    AdamSettings,
    BatchSettings,
    RunSettings,
    SourceSettings,
    ValidSettings,
)
from atat.engine.trainer import Trainer
from atat.speech import audio

TONES = {"AA": 300, "IY": 900, "S": 2500, "M": 5000}  # Hz
SPEAKING = {"on": ("AA", "S"), "off": ("IY", "M"), "lamp": ("S", "IY"), "heat": ("M", "AA")}
LENGTH = 0.08  # s of a tone


def tree(words: list[str]) -> str:
    slot = f"[SL:OBJECT {words[1]} ] " if len(words) > 1 else ""
    return f"[IN:{words[0].upper()} {slot}]"


def make_data(folder: Path) -> Path:
    """on, off, on lamp, on heat, off lamp ... as tones between silences, with all tables."""
    rng = np.random.default_rng(0)
    said = [[one, *two] for one in ("on", "off") for two in ([], ["lamp"], ["heat"], ["lamp"])]
    utterances, ctm, phones = [], {}, {}
    for number, words in enumerate(said):
        name, time = f"anna-{number}", 0.05 + 0.01 * number
        ctm[name], phones[name] = [], [Word("sil", 0, time)]
        sound = [np.zeros(round(time * 16000))]
        for word in words:
            ctm[name].append(Word(word, time, 2 * LENGTH))
            for phone in SPEAKING[word]:
                at = np.arange(round(LENGTH * 16000)) / 16000
                sound.append(0.3 * np.sin(2 * np.pi * TONES[phone] * at))
                phones[name].append(Word(phone, time, LENGTH))
                time += LENGTH
        sound.append(np.zeros(800))
        phones[name].append(Word("sil", time, 0.05))
        samples = np.concatenate(sound)
        samples += 1e-3 * rng.standard_normal(len(samples))
        path = folder.parent / "wavs" / f"{name}.wav"
        audio.save(path, samples.astype(np.float32))
        utterances.append(
            Utterance(
                name,
                "anna",
                wav=str(path),
                duration=len(samples) / 16000,
                text=" ".join(words),
                semantics=tree(words),
            )
        )
    kaldi_dir.write(folder, utterances)
    write_ctm(folder / "ctm", ctm)
    write_ctm(folder / "phones.ctm", phones)
    return folder


def run(data: Path, task: str) -> dict[str, Any]:
    """Settings of a short run that learns the data dir by heart, without those of a system."""
    source = SourceSettings(str(data), task)
    return {
        "train": (source,),
        "steps": 60,
        "valid": ValidSettings(sources=(source,), every=1000),
        "optim": AdamSettings(peak=2e-3),
        "batch": BatchSettings(examples=8, block=1),
        "checkpoint_every": 20,
        "log_every": 20,
        "workers": 0,
    }


def trained(conf: RunSettings, folder: Path) -> Path:
    """The folder of a training by `atat train`."""
    path = folder.with_suffix(".yaml")
    config.save(path, conf)
    train.main(["--config", str(path), "--out", str(folder)])
    return folder


def interrupted(conf: RunSettings, folder: Path, at: int) -> Path:
    """The same of one that was interrupted in step `at`, and continued."""
    step = Trainer._step

    def stopping(self: Trainer, number: int, batches: list[Any]) -> dict[str, float]:
        if number == at:
            raise KeyboardInterrupt
        return step(self, number, batches)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(conf, folder)
    return trained(conf, folder)
