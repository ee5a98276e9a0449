"""LFB extraction and ark reading against torchaudio, kaldi-native-fbank and kaldiio."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import inputs
import kaldiio
import numpy as np
import torch
from clock import Rounds, interleave, rounds_text
from table import Table, seconds_text

from atat.datadir import ark
from atat.speech.fbank import lfb


def features(rounds: Rounds, device: torch.device) -> Table:
    """Filterbanks of utterances one by one; the largest difference of values to torchaudio's."""
    torch.set_num_threads(1)
    audio, total = inputs.recordings(), inputs.recordings_seconds()
    systems: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "torchaudio.compliance.kaldi": _torchaudio,
        "atat": lfb,
    }
    try:
        systems["kaldi-native-fbank"] = _kaldi_native()
    except ImportError:
        pass  # utils/bench.sh --peers installs it
    work: dict[str, Callable[[], object]] = {
        name: partial(_each, compute, audio) for name, compute in systems.items()
    }
    timings = interleave(work, "torchaudio.compliance.kaldi", rounds=rounds)
    reference = [_torchaudio(samples) for samples in audio[:10]]
    rows = []
    for name, timing in timings.items():
        worst = max(
            float(np.abs(systems[name](samples) - wanted).max())
            for samples, wanted in zip(audio, reference)
        )
        rows.append(
            [
                name,
                seconds_text(timing.seconds),
                f"{timing.speedup:.2f}",
                f"{total / timing.seconds:.0f}",
                f"{worst:.1e}",
            ]
        )
    note = (
        f"{inputs.RECORDINGS} utterances of 1 to 16 s, {total:.0f} s of noise, 80 bins, no dither, "
        "one at a time on one thread. Difference: the largest of any value to torchaudio's. "
        f"{rounds_text(timings)}"
    )
    return Table("LFB", note, ["", "time", "speed", "x real time", "difference"], rows)


def _each(
    compute: Callable[[np.ndarray], np.ndarray], audio: Sequence[np.ndarray]
) -> list[np.ndarray]:
    return [compute(samples) for samples in audio]


def _torchaudio(samples: np.ndarray) -> np.ndarray:
    import torchaudio.compliance.kaldi as kaldi

    scaled = torch.from_numpy(samples)[None] * 32768
    return kaldi.fbank(
        scaled, num_mel_bins=80, dither=0.0, sample_frequency=inputs.SAMPLE_RATE
    ).numpy()


def _kaldi_native() -> Callable[[np.ndarray], np.ndarray]:
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80

    def compute(samples: np.ndarray) -> np.ndarray:
        bank = kaldi_native_fbank.OnlineFbank(options)
        bank.accept_waveform(inputs.SAMPLE_RATE, samples * 32768)
        bank.input_finished()
        return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])

    return compute


def arks(rounds: Rounds, device: torch.device) -> Table:
    """Reading matrices by their scp line, as training does: in random order, file in the cache."""
    rng = np.random.default_rng(0)
    matrices = {
        f"utt{i:04d}": rng.standard_normal((int(rng.integers(100, 1600)), 80)).astype(np.float32)
        for i in range(300)
    }
    megabytes = sum(matrix.nbytes for matrix in matrices.values()) / 1e6
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, method in (("float", None), ("compressed", 2)):
            path = Path(folder) / f"{kind}.ark"
            scp = path.with_suffix(".scp")
            kaldiio.save_ark(str(path), matrices, scp=str(scp), compression_method=method)
            lines = list(ark.load_scp(scp).values())
            rng.shuffle(lines)
            work: dict[str, Callable[[], object]] = {
                "kaldiio": lambda: [kaldiio.load_mat(line) for line in lines],
                "atat": lambda: [ark.read(line) for line in lines],
            }
            timings = interleave(work, "kaldiio", rounds=rounds.part(2))
            for name, timing in timings.items():
                rows.append(
                    [
                        f"{kind}, {name}",
                        seconds_text(timing.seconds),
                        f"{timing.speedup:.2f}",
                        f"{megabytes / timing.seconds:.0f}",
                    ]
                )
    note = f"{len(matrices)} matrices of 1 to 16 s, {megabytes:.0f} MB of float32."
    return Table("Reading arks", note, ["", "time", "speed", "MB/s"], rows)
