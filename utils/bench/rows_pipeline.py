"""Everything around the model: start-up, data loading, data dirs of up to a million utterances."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clock import Rounds, interleave, rounds_text
from remote import once
from table import Table, seconds_text

from atat.base.precision import has_bf16
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance

COMMANDS = ("train", "decode", "score", "datadir", "features", "synthesis", "tokenizer", "align")
LOADED_UTTERANCES = 2000


def startup(rounds: Rounds, device: torch.device) -> Table:
    """Seconds from the shell to the end of --help, and of importing what peers need."""
    programs = {
        "import torch": [sys.executable, "-c", "import torch"],
        **{
            f"atat {name} --help": [sys.executable, "-m", "atat", name, "--help"]
            for name in COMMANDS
        },
        "espnet2.bin.asr_inference --help": [
            sys.executable,
            "-m",
            "espnet2.bin.asr_inference",
            "--help",
        ],
    }
    work: dict[str, Callable[[], object]] = {}
    notes = []
    for name, program in programs.items():
        if subprocess.run(program, capture_output=True).returncode:
            notes.append(f"{name} does not start without further packages.")
        else:
            work[name] = partial(subprocess.run, program, capture_output=True)
    timings = interleave(work, "import torch", rounds=rounds)
    rows = [
        [name, seconds_text(timing.seconds), f"{timing.speedup:.1f}"]
        for name, timing in timings.items()
    ]
    return Table(
        "Start-up",
        " ".join(["A new process each time.", *notes, rounds_text(timings)]),
        ["", "time", "speed"],
        rows,
    )


def loading(rounds: Rounds, device: torch.device) -> Table:
    """Training steps fed by two worker processes from arks, against steps on batches at hand."""
    step, ratio, alone = once(
        work="loading", device=str(device), rounds=rounds.most, seconds=rounds.seconds
    )
    rows = [
        ["step on batches at hand", seconds_text(step), "1"],
        ["step with loading, 2 workers", "", f"{ratio:.3f}"],
        ["making the batches of a step, one process", seconds_text(alone), ""],
    ]
    note = (
        f"{LOADED_UTTERANCES} commands in arks, 16 in a step, SpecAugment. Ratio: time of the "
        "same number of steps with loading / on batches at hand; below 1 is noise."
    )
    return Table("Data loading", note, ["", "time", "ratio"], rows)


def measure_loading(
    rounds: int, seconds: float, device: torch.device
) -> tuple[float, float, float]:
    """Seconds of a step on batches at hand, times as long with loading, seconds of making one.

    No round is begun after so many seconds, but the first that counts.
    """
    from system_atat import Atat

    from atat.engine.loader import step_loader

    on_gpu, began = device.type == "cuda", time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        batches = _step_batches(Path(folder))
        model = Atat(device, precision="bf16" if on_gpu and has_bf16(device)[0] else "fp32")
        steps = 8 if device.type == "cpu" else 40  # more than the workers keep ready
        # One loader for all rounds, as in a training: its workers are forked while memory is small.
        stream = iter(step_loader(batches, 0, (rounds + 1) * steps, workers=2, pin=on_gpu))

        def train(stream: Any) -> float:
            start = time.perf_counter()
            for step in stream:
                for batch in step:
                    batch = batch.to(device)
                    model.train_step(batch.source, batch.source_lengths, batch.inputs)
            return (time.perf_counter() - start) / steps

        shares, times = [], []
        for number in range(rounds + 1):
            if number > 1 and time.perf_counter() - began > seconds:
                break
            cached = [batches[step] for step in range(number * steps, (number + 1) * steps)]
            train(cached)  # new shapes cost once
            at_hand, loaded = train(cached), train(islice(stream, steps))
            if number > 0:  # the first round does not count
                times.append(at_hand)
                shares.append(loaded / at_hand)
        start = time.perf_counter()
        for step in range(20):
            batches[step]
        alone = (time.perf_counter() - start) / 20
    return statistics.median(times), statistics.median(shares), alone


def _step_batches(folder: Path) -> Any:
    """A corpus of made-up arks, read as asr with SpecAugment."""
    from atat.datadir import ark
    from atat.engine.loader import StepBatches
    from atat.engine.sampler import Sampler
    from atat.engine.settings import BatchSettings, SourceSettings
    from atat.speech.augmenter import Augmenter
    from atat.speech.settings import AugmentSettings
    from atat.systems.joint.data import TaskData
    from atat.systems.joint.examples import Encoding
    from atat.text.tokenizer import Tokenizer

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in range(300)]
    utterances = []
    with ark.Writer(folder / "feats.ark", compress=True) as write:
        for number in range(LOADED_UTTERANCES):
            name, frames = f"spk-{number:06d}", int(rng.integers(100, 600))
            write(name, rng.standard_normal((frames, 80), dtype=np.float32))
            utterances.append(
                Utterance(
                    name,
                    "spk",
                    feats=write.specifiers[name],
                    num_frames=frames,
                    text=" ".join(rng.choice(words, 8)),
                )
            )
    kaldi_dir.write(folder / "data", utterances)
    texts = [utterance.text or "" for utterance in utterances]
    encoding = Encoding(Tokenizer.train(texts, [], 400))
    augment = Augmenter(AugmentSettings(time_masks=2, freq_masks=2))
    data = TaskData(SourceSettings(str(folder / "data"), "asr"), encoding, augment)
    sampler = Sampler([data.lengths], [1.0], [data.budget], BatchSettings(examples=16), seed=1)
    return StepBatches([data], sampler, seed=1, rank=0)


def datadirs(rounds: Rounds, device: torch.device) -> Table:
    """Data dirs of 10^4 to 10^6 made-up utterances: load, validate, split, sample; time, memory."""
    rows = []
    for count in (10**4, 10**5, 10**6):
        with tempfile.TemporaryDirectory() as folder:
            write_datadir(Path(folder) / "data", count)
            cells = []
            for task in ("load", "validate", "split", "sample"):
                program = [sys.executable, __file__, task, f"{folder}/data"]
                done = subprocess.run(program, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                cells += [seconds_text(found["seconds"]), f"{found['gib']:.2f}"]
        rows.append([f"{count:,}", *cells])
    header = ["utterances"]
    for task in ("load", "validate", "split in 8", "plan 1,000 steps"):
        header += [task, "GiB"]
    return Table(
        "Data dirs",
        "Text, trees, features' places and lengths; the audio is not opened. "
        "Each in a process of its own; GiB: the most memory it held.",
        header,
        rows,
    )


def write_datadir(folder: Path, count: int) -> None:
    """A made-up data dir: 1,000 utterances a speaker, trees of a few shapes."""
    rng = np.random.default_rng(0)
    words = [
        "".join(rng.choice(list("abcdefghijklmnopqrst"), rng.integers(3, 9))) for _ in range(20000)
    ]
    drawn = rng.integers(0, len(words), (count, 8))
    frames = rng.integers(100, 1600, count)
    utterances = []
    for number in range(count):
        spoken = [words[i] for i in drawn[number]]
        name = f"s{number // 1000:05d}-{number:08d}"
        tree = f"[IN:PLAY {spoken[0]} [SL:SONG {' '.join(spoken[1:4])} ] {' '.join(spoken[4:])} ]"
        utterances.append(
            Utterance(
                name,
                name[:6],
                wav=f"/corpus/{name}.wav",
                feats=f"/corpus/feats.ark:{number}",
                num_frames=int(frames[number]),
                duration=float(frames[number]) / 100,
                text=" ".join(spoken),
                semantics=tree,
            )
        )
    kaldi_dir.write(folder, utterances)


def _one(task: str, folder: str) -> None:
    """Do one thing with a data dir and print what it took; runs in a process of its own."""
    start = time.perf_counter()
    if task == "load":
        kaldi_dir.load(folder)
    elif task == "validate":
        from atat.datadir.check import validate
        from atat.datadir.check_audio import AudioOptions

        validate(folder, AudioOptions(check_audio=False))
    elif task == "split":
        from atat.datadir.edit import split

        split(folder, 8)
    else:
        from atat.engine.contract import AUDIO
        from atat.engine.sampler import Sampler
        from atat.engine.settings import BatchSettings

        lengths = np.array([utterance.num_frames for utterance in kaldi_dir.load(folder)])
        sampler = Sampler([lengths], [1.0], [AUDIO], BatchSettings(), seed=1)
        for step in range(1000):
            sampler.plan(step)
    seconds = time.perf_counter() - start
    # Not getrusage: its maximum counts what the benchmark itself held when it forked this process.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    gib = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    print(json.dumps({"seconds": seconds, "gib": gib}))


if __name__ == "__main__":
    _one(*sys.argv[1:])
