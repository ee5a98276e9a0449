"""Endpoints: the part of each recording that holds speech, as Kaldi segments.

    python local/trim_silence.py --data data/real --out data/real_trimmed

The recordings of the benchmark are mostly silence (about 1.2 s before the order and 4 s behind
it, in 8.3 s); synthetic speech and read speech begin and end with the words. The endpoints come
from the levels of the recording alone, so that they can be had at test time as in training: from
the first to the last 20 ms which are louder than the background and not far below the loud parts,
a margin on both sides. Short clicks don't count. Where nothing stands out, all is kept; in kitchen
noise of 6 dB that is most of the recording, since there the background is loud, too.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence
from atat.speech import audio

BLOCK = 0.02  # s
ABOVE_BACKGROUND = 6.0  # dB over the quiet tenth of the recording
BELOW_LOUD = 30.0  # dB under the loud twentieth
NEIGHBOURS, FEWEST = 10, 6  # of so many blocks around one, at least so many must be loud
KEPT = ("utt2group",)  # tables that concern neither the audio nor its times


def speech_span(samples: np.ndarray, margin: float) -> tuple[float, float]:
    """Start and end (s) of the speech in samples (T,), with a margin (s) within the recording."""
    block = round(BLOCK * audio.SAMPLE_RATE)
    whole = len(samples) // block
    length = len(samples) / audio.SAMPLE_RATE
    if whole < NEIGHBOURS:
        return 0.0, length
    power = np.square(samples[: whole * block].reshape(whole, block), dtype=np.float64).mean(axis=1)
    level = 10 * np.log10(power + 1e-10)
    threshold = max(
        np.percentile(level, 10) + ABOVE_BACKGROUND, np.percentile(level, 95) - BELOW_LOUD
    )
    loud = level > threshold
    company = np.convolve(loud, np.ones(NEIGHBOURS), "same") >= FEWEST
    speech = np.flatnonzero(loud & company)
    if not len(speech):
        return 0.0, length
    start = max(speech[0] * BLOCK - margin, 0.0)
    return start, min((speech[-1] + 1) * BLOCK + margin, length)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/trim_silence.py "
        "--data data/real --out data/real_trimmed",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument("--margin", type=float, default=0.25, help="kept around the speech (s)")
    options = parser.parse_args(argv)
    if options.out.resolve() == options.data.resolve():
        raise InputError(f"--out {options.out} is the data dir itself; name another one")
    trimmed = []
    before = after = 0.0
    utterances = kaldi_dir.load(options.data)
    kaldi_dir.refuse_pipes(options.data, utterances, "finding endpoints")
    for utterance in utterances:
        if utterance.wav is None or utterance.start is not None:
            raise InputError(f"{options.data}: expected whole recordings (wav.scp, no segments)")
        samples = audio.load(utterance.wav)
        start, end = (round(time, 3) for time in speech_span(samples, options.margin))
        before += len(samples) / audio.SAMPLE_RATE
        after += end - start
        trimmed.append(
            replace(
                utterance,
                start=start,
                end=end,
                duration=round(end - start, 3),
                recording=utterance.id,
                feats=None,
                num_frames=None,
            )
        )
    kaldi_dir.write(options.out, trimmed)
    licence.write(options.out, licence.of(options.data))
    for name in KEPT:
        if (options.data / name).exists():
            shutil.copyfile(options.data / name, options.out / name)
    minutes = f"{after / 60:.1f} of {before / 60:.1f} minutes"
    print(f"{options.out}: {len(trimmed)} utterances, {minutes}")


if __name__ == "__main__":
    cli.run(main)
