"""Global mean and variance of features, in Kaldi's format; a model keeps them as buffers.

    atat cmvn --data data/train data/other --out exp/cmvn.ark

Reads feats.scp, or computes the LFB from the audio of a data dir without it. Statistics are a
float64 matrix (2, F + 1): sums and the number of frames, sums of squares and a 0. The statistics
of two corpora can be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import ark, contents, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.lost import report as report_lost
from atat.speech.fbank import lfb

# Avoids division by zero for constant bins.
VARIANCE_FLOOR = 1e-5


def accumulate(features: Iterable[np.ndarray]) -> np.ndarray:
    """Statistics (2, F + 1) of some utterances' features (T, F) each.

    Raises InputError for no frames at all and for utterances of different F.
    """
    stats: np.ndarray | None = None
    for matrix in features:
        if matrix.ndim != 2:
            raise InputError(
                f"found a vector of {matrix.size} values, as i-vectors are; expected a matrix of "
                "frames for each utterance"
            )
        if stats is None:
            stats = np.zeros((2, matrix.shape[1] + 1))
        if matrix.shape[1] + 1 != stats.shape[1]:
            raise InputError(
                f"features of {matrix.shape[1]} bins among others of "
                f"{stats.shape[1] - 1}; make all of them with the same options"
            )
        wide = matrix.astype(np.float64)
        stats[0, :-1] += wide.sum(axis=0)
        stats[1, :-1] += np.einsum("tf,tf->f", wide, wide)
        stats[0, -1] += len(wide)
    if stats is None or stats[0, -1] == 0:
        raise InputError("no features to take the mean of")
    return stats


def to_mean_and_scale(stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) and 1 / standard deviation (F,), float32: normalised = (x - mean) * scale."""
    mean = stats[0, :-1] / stats[0, -1]
    variance = stats[1, :-1] / stats[0, -1] - mean**2
    scale = 1.0 / np.sqrt(np.maximum(variance, VARIANCE_FLOOR))
    return mean.astype(np.float32), scale.astype(np.float32)


def load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1 / standard deviation (F,) float32 of a file of statistics."""
    stats = ark.read(path)
    if stats.ndim != 2 or len(stats) != 2 or stats.shape[1] < 2 or not stats[0, -1] > 0:
        raise InputError(
            f"{path}: found a matrix of shape {stats.shape}, expected global CMVN "
            "statistics (2, F + 1); make them with: atat cmvn"
        )
    return to_mean_and_scale(stats)


def _features(
    utterances: Sequence[Utterance], num_mels: int, lost: dict[str, str]
) -> Iterator[np.ndarray]:
    """Features (T, F) of each utterance; utterances that cannot be read go to `lost`."""
    from tqdm import tqdm

    for utterance in tqdm(utterances, desc="cmvn", unit="utt"):
        try:
            if utterance.feats is not None:
                features = contents.read_features(utterance)
            else:
                features = lfb(contents.read_recording(utterance), num_mels=num_mels)
        except InputError as error:
            lost[utterance.id] = str(error)
            continue
        yield features


def _utterances(data: Sequence[str], most: int) -> list[Utterance]:
    """Utterances of all data dirs, or `most` of them spread evenly."""
    found: list[Utterance] = []
    for folder in data:
        here = kaldi_dir.load(folder)
        without = [utterance for utterance in here if utterance.feats is None]
        for utterance in without:
            if utterance.wav is None:
                raise InputError(f"{folder}: {utterance.id} has neither features nor audio")
        kaldi_dir.refuse_pipes(folder, without, "cmvn without feats.scp")
        found += here
    if not 0 < most < len(found):
        return found
    return [found[index * len(found) // most] for index in range(most)]


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat cmvn",
        description=cli.guide(
            "Sum up mean and variance of the features of data dirs, in Kaldi's format.",
            "atat cmvn --data data/train --out data/cmvn.ark",
            reads="DATA/feats.scp and its arks; where there is none, the recordings of "
            "DATA/wav.scp.",
            writes="OUT, one matrix. In a YAML file of a training it is the key cmvn.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", nargs="+", required=True, help="dirs with feats.scp or audio")
    parser.add_argument("--out", required=True, help="file for the statistics")
    parser.add_argument("--num_mels", type=int, default=80, help="mel bins, where made of audio")
    parser.add_argument(
        "--max_utterances",
        type=int,
        default=0,
        help="take only so many, spread evenly; 0 takes all",
    )
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of utterances that may be unreadable"
    )
    arguments = parser.parse_args(argv)
    cli.check_positive(arguments, "num_mels")
    utterances = _utterances(arguments.data, arguments.max_utterances)
    lost: dict[str, str] = {}
    try:
        stats = accumulate(_features(utterances, arguments.num_mels, lost))
    finally:  # lost utterances often explain an error
        report_lost(
            lost,
            len(utterances),
            arguments.max_lost,
            "cannot be read and are left out",
            "fix or drop them (atat datadir repair)",
        )
    ark.write_matrix(arguments.out, stats)
    count = len(utterances) - len(lost)
    print(f"{arguments.out}: {int(stats[0, -1])} frames of {count} utterances")
