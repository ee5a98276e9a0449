"""The real recordings as Kaldi data dirs: clean, and mixed with the published noise.

    python local/prepare_barista.py --corpus ~/speech-to-intent-benchmark --out data

writes `data/real` (wav.scp, utt2spk, semantics; every oddity of the published labels in
`label_findings.txt`) and `data/noisy_06` … `data/noisy_24`, the same recordings with noise at
6 to 24 dB. Transcripts and speaker ids are not published: there is no `text`, and each
utterance counts as a speaker of its own, although fifty-odd people spoke about ten each.

The signal-to-noise ratio is the benchmark's own: the energy of the loudest 128 ms of speech
over that of the loudest 128 ms of the noise mixed in. It differs from the ratio of mean powers
by several decibels, so that figures compare with the published ones only under this measure.
Unlike the benchmark, which halves and normalises the peak of every mixture, speech keeps its
level unless the mixture would clip; and the place in the noise is drawn by utterance, not again
in each run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from order_grammar import load as load_grammar
from picovoice import GRAMMAR, NOISE, PUBLISHED, corpus_folder, read_labels, recordings

from atat.base import cli, digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object_or_none
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.speech import audio
from atat.text.trees import parse

FRAME = 2048  # samples; the benchmark measures loudness in frames of 128 ms at 16 kHz
SNRS = (6, 9, 12, 15, 18, 21, 24)  # dB, as published


def prepare_real(corpus: Path, out: Path, max_lost: float) -> list[kaldi_dir.Utterance]:
    """Write `out`, the data dir of the clean recordings; returns its utterances.

    Raises InputError when more than the share `max_lost` of the recordings must be left out.
    """
    oddities = Oddities()
    grammar = load_grammar(corpus / GRAMMAR)
    labels = read_labels(corpus, grammar, oddities)
    paths = recordings(corpus, labels, oddities)
    oddities.close(out / "label_findings.txt", kept=len(paths), max_lost=max_lost, corpus=corpus)
    utterances = [
        kaldi_dir.Utterance(
            id=utterance,
            speaker=utterance,
            wav=str(path),
            duration=audio.duration(path),
            semantics=grammar.canonical(labels[utterance]),
        )
        for utterance, path in paths.items()
    ]
    for utterance in utterances:
        parse(utterance.semantics or "")  # a label with a bracket must not reach training
    kaldi_dir.write(out, utterances)
    licence.write(out, licence.of_corpus(corpus, PUBLISHED))
    print(f"{out}: {len(utterances)} recordings; oddities in {out / 'label_findings.txt'}")
    return utterances


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech (T,) plus noise (T,) at a ratio of loudest frames; scaled down where it would clip."""
    scale = np.sqrt(_loudest(speech) / (_loudest(noise) * 10 ** (snr_db / 10)))
    mixed = speech + scale * noise
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def excerpt(noise: np.ndarray, length: int, key: str) -> np.ndarray:
    """`length` samples from a place in the noise that depends on `key` only; wraps around."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    start = int(np.random.default_rng(seed).integers(len(noise)))
    return np.take(noise, range(start, start + length), mode="wrap")


def prepare_noisy(
    clean: list[kaldi_dir.Utterance],
    noises: dict[str, np.ndarray],
    snr_db: int,
    seed: int,
    out: Path,
) -> None:
    """Write `out`: each recording with each noise; utt2group names the noise.

    A rerun makes only the mixtures that are missing, and those of a recording that has changed;
    another seed or noise makes all again.
    """
    from tqdm import tqdm

    sums = {name: hashlib.sha256(noise.tobytes()).hexdigest() for name, noise in noises.items()}
    _remove_others({"seed": seed, "snr_db": snr_db, "noises": sums}, clean, out)
    utterances, groups = [], {}
    for utterance in tqdm(clean, desc=out.name, unit="utt"):
        for name, noise in noises.items():
            key = f"{utterance.id}-{name}"
            path = (out / "wavs" / f"{key}.flac").resolve()
            if not path.exists():
                speech = audio.load(utterance.wav or "")
                part = excerpt(noise, len(speech), f"{seed} {key}")
                audio.save(path, mix(speech, part, snr_db))
            groups[key] = name
            utterances.append(
                kaldi_dir.Utterance(
                    id=key,
                    speaker=utterance.speaker,
                    wav=str(path),
                    duration=utterance.duration,
                    semantics=utterance.semantics,
                )
            )
    kaldi_dir.write(out, utterances)
    tables.write_table(out / "utt2group", groups)


def _remove_others(recipe: dict[str, Any], clean: list[kaldi_dir.Utterance], out: Path) -> None:
    """Remove the mixtures in `out` that are not of this recipe or these recordings; note both."""
    stamp = out / "mixing.json"
    before = read_object_or_none(stamp) or {}
    heard = before.pop("recordings", {})  # of an earlier version: not known, so taken as the same
    now = {one.id: digests.of_file(one.wav or "") for one in clean}
    wavs = out / "wavs"
    if before != recipe:
        others = list(wavs.glob("*.flac"))
    else:
        changed = [one for one, digest in now.items() if heard.get(one, digest) != digest]
        others = [wavs / f"{one}-{noise}.flac" for one in changed for noise in recipe["noises"]]
    for mixture in others:
        mixture.unlink(missing_ok=True)
    with atomic_write(stamp) as stream:
        json.dump({**recipe, "recordings": heard | now}, stream, sort_keys=True)


def _loudest(samples: np.ndarray) -> float:
    """Energy of the loudest frame; of all there is, where that is less than a frame."""
    whole = len(samples) // FRAME * FRAME
    frames = samples[:whole].reshape(-1, FRAME) if whole else samples[None]
    return max(float(np.square(frames, dtype=np.float64).sum(axis=1).max()), 1e-12)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_barista.py "
        "--corpus ~/speech-to-intent-benchmark --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="clone of the benchmark")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--snrs", type=int, nargs="*", default=SNRS, help="noise levels in dB; none: clean only"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the places in the noise")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of recordings that may be left out before it is an error",
    )
    options = parser.parse_args(argv)
    corpus = corpus_folder(options.corpus)
    clean = prepare_real(corpus, options.out / "real", options.max_lost)
    noises = {path.stem: audio.load(path) for path in sorted((corpus / NOISE).glob("*.wav"))}
    if options.snrs and not noises:
        raise InputError(f"{corpus / NOISE}: no noise (*.wav); clone again, or give --snrs nothing")
    for snr_db in options.snrs:
        out = options.out / f"noisy_{snr_db:02d}"
        prepare_noisy(clean, noises, snr_db, options.seed, out)
        licence.write(out, licence.of(options.out / "real"))
    if options.snrs:
        print(f"noises: {', '.join(noises)}; at {', '.join(map(str, options.snrs))} dB")


if __name__ == "__main__":
    cli.run(main)
