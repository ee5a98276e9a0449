"""Make packed models that every later version must read, and write down what they answer.

    python tests/packed/make.py distill joint lugosch speechbert stbert

NAME.zip is a model with random weights, NAME.json its answers to `signal()`, SENTENCE or QUESTION;
NAME is the system and the version of the package. Made once, when a system is new or its format
changes: an older one is never made again, for it is what somebody has on disk
(tests/test_packed.py).
Weights are mostly zeros, so that the archive of a system with millions of them is small.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # tiny, when run as a script

import tiny  # noqa: E402

import atat  # noqa: E402
from atat import Recognizer  # noqa: E402
from atat.datadir.ctm import Word  # noqa: E402
from atat.engine import model_folder  # noqa: E402
from atat.nn.acoustic import PhonemeModule  # noqa: E402
from atat.nn.phoneme_posteriors import PhonemePosteriors  # noqa: E402
from atat.nn.segment_autoencoder import SegmentEncoder  # noqa: E402
from atat.nn.speech_text_bert import Marks, SpeechTextBert  # noqa: E402
from atat.nn.word_bert import WordBert  # noqa: E402
from atat.speech.frontend import Mfcc  # noqa: E402
from atat.systems.distill.packed import StudentPacked  # noqa: E402
from atat.systems.distill.student import Student  # noqa: E402
from atat.systems.joint.packed import Packed  # noqa: E402
from atat.systems.lugosch.model import Lugosch  # noqa: E402
from atat.systems.lugosch.packed import LugoschPacked  # noqa: E402
from atat.systems.speechbert.model import SpeechBert  # noqa: E402
from atat.systems.speechbert.packed import SpeechBertPacked  # noqa: E402
from atat.systems.speechbert.words import Words  # noqa: E402
from atat.systems.stbert.classes import Classes  # noqa: E402
from atat.systems.stbert.model import StBert  # noqa: E402
from atat.systems.stbert.packed import StbertPacked  # noqa: E402
from atat.text import bert_files  # noqa: E402
from atat.text.labels import Labels  # noqa: E402
from atat.text.phones import LABELS  # noqa: E402
from atat.text.word_pieces import SPECIALS  # noqa: E402

LARGEST = 200_000  # bytes of an archive
SENTENCE = "play the red tango"
QUESTION, SAID = "which tango", "play the red tango again"  # in the signal, a word every 0.2 s
KEPT = 1500  # weights of a matrix that are not zero


def signal() -> np.ndarray:
    """1.2 s of a rising tone and noise (19200,), float32 at 16 kHz."""
    time = np.arange(19200) / 16000
    noise = np.random.default_rng(7).standard_normal(len(time))
    return (0.2 * np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.02 * noise).astype(np.float32)


def answers(model: str | Path) -> dict[str, Any]:
    """What a model says of the signal, and of the sentence where it reads text."""
    # The score of bf16, the default where a processor has it, is another one.
    recognizer = Recognizer.load(model, transcribe=False, precision="fp32")
    if "qa" in recognizer.packed.tasks:
        words = [Word(word, 0.2 * at, 0.2) for at, word in enumerate(SAID.split())]
        asked = recognizer(signal(), rate=16000, question=QUESTION, words=words)
        return {"signal": [{"text": one.text, "score": one.score} for one in asked.nbest]}
    found = {"signal": [recognizer(signal(), rate=16000)]}
    if "nlu" in recognizer.packed.tasks:
        found["sentence"] = [recognizer(text=SENTENCE)]
    return {
        name: [{"text": one.text, "score": one.score} for one in understood.nbest]
        for name, (understood,) in found.items()
    }


def joint() -> Packed:
    return tiny.packed(("slu", "asr", "nlu"), tiny.without_dropout())


def labels() -> Labels:
    return Labels(fields={"IN": ("ON", "OFF"), "OBJECT": ("", "lamp", "heat")})


def lugosch() -> LugoschPacked:
    return LugoschPacked(Lugosch(labels()), ("intent",), labels=labels())


def distill() -> StudentPacked:
    return StudentPacked(Student(labels()), ("intent",), labels=labels())


def stbert() -> StbertPacked:
    masked = bert_files.scratch(16, 2, 2, 30)
    marks = Marks(0, 2, 3, 4)
    network = SpeechTextBert(masked.bert, masked.cls.predictions, marks, len(LABELS))
    network.trim()
    listener = PhonemePosteriors(PhonemeModule(len(LABELS)))
    classes = Classes("commands", ("[IN:OFF ]", "[IN:ON ]"))
    return StbertPacked(StBert(listener, network, 2), ("intent",), classes=classes)


def speechbert() -> SpeechBertPacked:
    known = Words((*SPECIALS, "again", "play", "red", "tango", "the", "which"))
    bert: Any = bert_files.scratch(16, 2, 2, len(known), spread=0.2)
    network = WordBert(bert.bert, None, len(known))
    model = SpeechBert(network, SegmentEncoder(39, 8, 16), answers=True)
    return SpeechBertPacked(model, ("qa",), words=known, frontend=Mfcc())


SYSTEMS: dict[str, Callable[[], Any]] = {
    "distill": distill,
    "joint": joint,
    "lugosch": lugosch,
    "speechbert": speechbert,
    "stbert": stbert,
}


def make(system: str, where: Path = HERE) -> Path:
    """Write NAME.zip and NAME.json of a system; an existing one is refused."""
    archive = where / f"{system}-{atat.__version__}.zip"
    if archive.exists():
        raise SystemExit(f"{archive}: is there; an old model stays as it is")
    torch.manual_seed(0)
    packed = SYSTEMS[system]()
    with torch.no_grad():
        for weight in packed.model.parameters():
            if weight.numel() > KEPT and weight.dim() > 1:
                _thin(weight)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model_folder.save(folder, packed)
        said = answers(folder)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    # Without the time of the day: equal models are equal archives.
                    info = zipfile.ZipInfo(f"model/{path.relative_to(folder).as_posix()}")
                    opened.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    size = archive.stat().st_size
    if size > LARGEST:
        archive.unlink()
        raise SystemExit(f"{archive}: {size:,} bytes, more than {LARGEST:,}")
    archive.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n")
    return archive


def _thin(weight: torch.Tensor) -> None:
    """Keep few entries of a matrix, and give it the spread that it had."""
    spread = weight.std()
    share = KEPT / weight.numel()
    kept = torch.rand_like(weight) < share
    weight.copy_(torch.where(kept, torch.sign(torch.randn_like(weight)), 0.0))
    weight.mul_(torch.round(spread / share**0.5 * 64) / 64)


if __name__ == "__main__":
    for name in sys.argv[1:] or SYSTEMS:
        print(make(name))
