"""A tiny corpus and tiny models that several tests share: real files, made in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from atat.datadir import ark, cmvn, kaldi_dir, tables
from atat.datadir.ctm import Word, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.nn.settings import AudioEncoderSettings, CtcSettings, DecoderSettings, TextEncoderSettings
from atat.prepare.miniature_speech import Line
from atat.speech import audio
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import ModelSettings, OptimSettings, TrainSettings
from atat.text.encoder_ids import build_encoder_ids
from atat.text.tokenizer import Tokenizer

WORDS = "play stop the song lamp radio red blue tango waltz".split()
FRAMES_PER_WORD = 24
MODEL = ModelSettings(
    width=32,
    audio_encoder=AudioEncoderSettings(
        mel_bins=16,
        conv_channels=(4, 8),
        layers=2,
        heads=2,
        feed_forward=48,
        dropout=0.1,
        time_pool=(2, 2),
        freq_pool=(2, 2),
    ),
    text_encoder=TextEncoderSettings(kind="small", layers=2, heads=2, feed_forward=48),
    decoder=DecoderSettings(layers=2, heads=2, feed_forward=48),
    ctc=CtcSettings(weight=0.3, units="characters"),
)


def without_dropout(settings: ModelSettings = MODEL) -> ModelSettings:
    """The same model with nothing random in it."""
    assert settings.audio_encoder and settings.text_encoder
    return replace(
        settings,
        audio_encoder=replace(settings.audio_encoder, dropout=0.0),
        text_encoder=replace(settings.text_encoder, dropout=0.0),
        decoder=replace(settings.decoder, dropout=0.0),
    )


def tones(lines: Sequence[Line]) -> None:
    """Takes the place of `miniature_speech.speak` where only layouts matter: 0.2 s a line."""
    for line in lines:
        line.path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(line.path, np.sin(np.arange(3200, dtype=np.float32) / 9))


def sentence(rng: np.random.Generator) -> tuple[list[str], str]:
    """Words and their tree."""
    verb, colour = rng.choice(WORDS[:2]), rng.choice(WORDS[6:8])
    thing = rng.choice(WORDS[3:6])
    words = [verb, "the", colour, thing]
    return words, f"[IN:{verb.upper()} {verb} the [SL:THING {colour} {thing} ] ]"


def make_data(folder: Path, count: int = 24, seed: int = 0, mel_bins: int = 16) -> Path:
    """A data dir with arks and a ctm; every word has a spectrum of its own, plus noise."""
    rng = np.random.default_rng(seed)
    spectra = np.random.default_rng(99).normal(0, 3, (len(WORDS), mel_bins))
    utterances, alignments = [], {}
    with ark.Writer(folder / "feats.ark", folder / "feats.scp") as write:
        for number in range(count):
            name = f"spk{number % 3}-{number:03d}"
            words, tree = sentence(rng)
            lengths = rng.integers(FRAMES_PER_WORD - 8, FRAMES_PER_WORD + 8, len(words))
            rows = np.repeat([spectra[WORDS.index(word)] for word in words], lengths, axis=0)
            features = (rows + rng.normal(0, 0.5, rows.shape)).astype(np.float32)
            write(name, features)
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) / 100
            alignments[name] = [
                Word(word, float(start), float(length / 100))
                for word, start, length in zip(words, starts, lengths)
            ]
            text = " ".join(words)
            utterances.append((name, len(features), text, tree))
    kaldi_dir.write(
        folder,
        [
            Utterance(
                id=name,
                speaker=name.split("-")[0],
                feats=write.specifiers[name],
                num_frames=frames,
                duration=frames / 100,
                text=text,
                semantics=tree,
            )
            for name, frames, text, tree in sorted(utterances)
        ],
    )
    write_ctm(folder / "ctm", alignments)
    return folder


def make_spoken(root: Path) -> None:
    """Data dirs train and test of recordings, with words, trees and times, and a tokenizer."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 6)):
        folder, utterances, times = root / part, [], {}
        for number in range(count):
            name = f"spk{number % 2}-{part}{number:02d}"
            words, tree = sentence(rng)
            tones = [np.sin(np.arange(4000) * (0.05 + 0.05 * WORDS.index(word))) for word in words]
            samples = np.concatenate(tones).astype(np.float32) * 0.3
            samples += rng.normal(0, 0.01, len(samples)).astype(np.float32)
            wav = folder / "wavs" / f"{name}.wav"
            audio.save(wav, samples)
            times[name] = [Word(word, 0.25 * i, 0.25) for i, word in enumerate(words)]
            text, speaker = " ".join(words), name.split("-")[0]
            utterances.append(Utterance(name, speaker, wav=str(wav), text=text, semantics=tree))
        kaldi_dir.write(folder, sorted(utterances, key=lambda one: one.id))
        write_ctm(folder / "ctm", times)
    make_tokenizer().save(root / "tokenizer")


def make_corpus(folder: Path) -> Path:
    """All that a training reads: train, dev, tokenizer and cmvn.ark."""
    make_data(folder / "train", 40)
    make_data(folder / "dev", 12, seed=5)
    make_tokenizer().save(folder / "tokenizer")
    specs = tables.read_table(folder / "train" / "feats.scp").values()
    ark.write_matrix(folder / "cmvn.ark", cmvn.accumulate(map(ark.read, specs)))
    return folder


def training(corpus: Path, **changes: Any) -> TrainSettings:
    """Twelve steps of all tasks."""
    mix = tuple(
        SourceSettings(str(corpus / "train"), task) for task in ("asr", "slu", "nlu", "mlm")
    )
    valid = tuple(SourceSettings(str(corpus / "dev"), task) for task in ("slu", "nlu"))
    base = TrainSettings(
        precision="fp32",  # the same on every processor
        tokenizer=str(corpus / "tokenizer"),
        cmvn=str(corpus / "cmvn.ark"),
        train=mix,
        steps=12,
        model=MODEL,
        valid=ValidSettings(sources=valid, every=6, decode=4),
        batch=BatchSettings(examples=12, block=3),
        optim=OptimSettings(schedule="linear", peak=4e-3, warmup=20),
        checkpoint_every=4,
        workers=0,
    )
    return replace(base, **changes)


def packed(
    tasks: tuple[str, ...] = ("asr", "slu", "nlu"),
    settings: ModelSettings = MODEL,
    pairs: Iterable[tuple[str, str]] = (),
) -> Packed:
    """A packed model with random weights, those of torch's generator."""
    tokenizer = make_tokenizer()
    model, units = build_model(settings, tokenizer)
    text = settings.text_encoder
    source = build_encoder_ids(text.bert_or_none, tokenizer, units=text.units)
    return Packed(model, tokenizer, settings, units, source, set(pairs), tasks)


def make_tokenizer(*trees: str) -> Tokenizer:
    """Word pieces for WORDS and the tags of the trees."""
    tags = {"[IN:PLAY", "[IN:STOP", "[SL:THING"} | {
        token for tree in trees for token in tree.split() if token.startswith("[")
    }
    return Tokenizer.train([" ".join(WORDS)] * 20, sorted(tags), vocab_size=320)
