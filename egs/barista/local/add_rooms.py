"""Speech as a cheap microphone in a room hears it: multi-condition training data from clean audio.

    python local/add_rooms.py --data data/tts_barista/train --out data/tts_barista/train_rooms \
        --wavs wavs/rooms

Every utterance is played somewhat faster or slower or as it is, then goes through a random filter,
a made-up room and noise of random colour, half of it with things that clatter
(atat.speech.augment), drawn by its id; the noise of the benchmark's test is not used. Some get
stretches without speech before and behind, as recordings have whose endpoints the noise hides. What
the utterances mean stays as it is; the times of their words (for mlm) stay with the clean audio.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from atat.base import cli, digests, lock, parallel
from atat.base.errors import InputError
from atat.base.files import read_lines, remove_leftovers
from atat.datadir import ids, kaldi_dir, licence
from atat.datadir.kaldi_dir import Utterance
from atat.speech import audio, augment

VERSION = 2  # increased whenever the same draw gives different audio
SPEEDS = (0.9, 1.0, 1.1)  # of Ko et al., 2015
PADDED, FILTERED, REVERBERATED, NOISY = 0.4, 0.8, 0.7, 0.8  # share of the utterances
LIVELY = 0.5  # share of the noises that clatter; the others are stationary
LEAD, TAIL = 1.2, 2.5  # s without speech, at most
SNR = (0.0, 30.0)  # dB
CHUNK = 50  # utterances handed to a worker at a time
# Tables that concern neither the audio nor its times.
KEPT = ("utt2group", "text.raw", "semantics.raw")


def padding(utt: str, seed: int) -> tuple[float, float]:
    """Seconds without speech before and behind an utterance."""
    rng = np.random.default_rng([seed, 1, zlib.crc32(utt.encode())])
    if rng.random() >= PADDED:
        return 0.0, 0.0
    return float(rng.uniform(0, LEAD)), float(rng.uniform(0, TAIL))


def heard(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clean speech (T,) as another speaker's arrives (T,); faster or slower, T is another."""
    samples = augment.speed_perturb(samples, float(rng.choice(SPEEDS)))
    if rng.random() < FILTERED:
        samples = augment.random_filter(samples, rng)
    if rng.random() < REVERBERATED:
        samples = augment.reverberate(samples, rng)
    if rng.random() < NOISY:
        made = augment.lively_noise if rng.random() < LIVELY else augment.coloured_noise
        noise = made(rng, len(samples))
        samples = augment.add_noise(samples, noise, float(rng.uniform(*SNR)))
    samples = augment.random_gain(samples, rng)
    return samples / max(1.0, float(np.abs(samples).max(initial=0.0)))


def fingerprint(utterance: Utterance, seed: int) -> str:
    """What the audio in a room is made from: the clean audio, the draw and what can be drawn."""
    try:
        there = Path(str(utterance.wav)).stat()
    except FileNotFoundError:
        raise InputError(
            f"{utterance.wav}: no such audio file ({utterance.id}); correct its path "
            "in wav.scp or fetch the file"
        ) from None
    source = (utterance.wav, utterance.start, utterance.end, there.st_size, there.st_mtime_ns)
    drawn = (seed, SPEEDS, PADDED, FILTERED, REVERBERATED, NOISY, LIVELY, LEAD, TAIL, SNR)
    return digests.of_text(repr((VERSION, utterance.id, source, drawn)), "sha1")[: digests.SHORT]


def write_chunk(chunk: list[tuple[Utterance, Path]], seed: int) -> list[Path]:
    """Write the audio of some utterances; the files written."""
    for utterance, path in chunk:
        rng = np.random.default_rng([seed, zlib.crc32(utterance.id.encode())])
        samples = audio.load(str(utterance.wav), utterance.start, utterance.end, resample=True)
        around = [round(seconds * audio.SAMPLE_RATE) for seconds in padding(utterance.id, seed)]
        audio.save(path, heard(np.pad(samples, around), rng))
    return [path for _, path in chunk]


def write_missing(jobs: list[tuple[Utterance, Path]], options: argparse.Namespace) -> None:
    """Write the audio that is not there yet or was made from something else; `made` notes it."""
    from tqdm import tqdm

    options.wavs.mkdir(parents=True, exist_ok=True)
    journal = options.wavs / "made"
    lines = read_lines(journal) if journal.exists() else []
    made = dict(line.rsplit(" ", 1) for line in lines if " " in line)
    wanted = {path: fingerprint(utterance, options.seed) for utterance, path in jobs}
    missing = [
        (utterance, path)
        for utterance, path in jobs
        if made.get(str(path)) != wanted[path] or not path.is_file()
    ]
    chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
    work = functools.partial(write_chunk, seed=options.seed)
    with (
        open(journal, "a", encoding="utf-8") as stream,
        tqdm(
            total=len(jobs),
            initial=len(jobs) - len(missing),
            unit="utt",
            desc=f"rooms {options.data.name}",
        ) as bar,
    ):
        for written in parallel.run(work, chunks, options.nj):
            stream.writelines(f"{path} {wanted[path]}\n" for path in written)
            stream.flush()
            bar.update(len(written))


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/add_rooms.py --data "
        "data/tts_barista/train --out data/tts_barista/train_rooms --wavs wavs/rooms",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with clean audio")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument("--wavs", type=Path, required=True, help="folder for the audio")
    parser.add_argument("--seed", type=int, default=1, help="draws rooms, filters and noise")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    if options.out.resolve() == options.data.resolve():
        raise InputError(f"--out {options.out} is the data dir itself; name another one")
    utterances = kaldi_dir.load(options.data)
    if any(utterance.wav is None for utterance in utterances):
        raise InputError(f"{options.data}: no wav.scp; rooms are added to audio")
    kaldi_dir.refuse_pipes(options.data, utterances, "adding rooms")
    wavs = options.wavs.resolve()
    paths = [ids.path_in(wavs, u.speaker, u.id, suffix=".wav") for u in utterances]
    jobs = list(zip(utterances, paths))
    with lock.hold(wavs, f"adding rooms to {options.data}"):
        remove_leftovers(wavs)
        write_missing(jobs, options)
    kaldi_dir.write(
        options.out,
        [
            replace(
                u,
                wav=str(path),
                start=None,
                end=None,
                recording=None,
                feats=None,
                num_frames=None,
                duration=None,
            )
            for u, path in jobs
        ],
    )
    licence.write(options.out, licence.of(options.data))
    for name in KEPT:
        if (options.data / name).exists():
            shutil.copyfile(options.data / name, options.out / name)
    print(f"{options.out}: {len(jobs)} utterances")


if __name__ == "__main__":
    cli.run(main)
