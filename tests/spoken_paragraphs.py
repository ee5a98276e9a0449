"""Twelve spoken paragraphs with questions: a tone for each word, MFCC, word times, answers.

"the cat sings red and the dog sings blue": what sings the dog? A data dir of their words, and one
of what a recogniser heard of the same recordings, which takes some words for others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atat.datadir import ark, kaldi_dir, questions
from atat.datadir.ctm import Word, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.questions import Answer, Question, placed
from atat.speech import audio
from atat.speech.mfcc import mfcc39

SINGERS, SONGS = ("cat", "dog", "cow", "hen"), ("red", "blue", "winter", "silver river")
MISHEARD = {"hen": "pen", "blue": "glue"}
TONES = {
    word: 250 + 330 * number
    for number, word in enumerate("the cat dog cow hen sings red blue winter silver river".split())
}


def make(folder: Path, count: int = 12) -> tuple[Path, Path]:
    """The data dirs FOLDER/data and FOLDER/heard, of the same recordings."""
    rng = np.random.default_rng(0)
    utterances, ctm, asked, feats = [], {}, [], {}
    for number in range(count):
        name = f"p{number:02d}"
        singers = rng.permutation(SINGERS)[:2]
        songs = rng.permutation(SONGS)[:2]
        text = " ".join(f"the {who} sings {what}" for who, what in zip(singers, songs))
        samples, ctm[name] = spoken(text, rng)
        path = folder / "wavs" / f"{name}.wav"
        audio.save(path, samples)
        feats[name] = mfcc39(samples)
        utterances.append(
            Utterance(name, "anna", wav=str(path), duration=len(samples) / 16000, text=text)
        )
        for at, (who, what) in enumerate(zip(singers, songs)):
            words = text.split()
            first = words.index(what.split()[0])
            last = first + len(what.split()) - 1
            answer = Answer(what.title(), first, last, ctm[name][first].start, ctm[name][last].end)
            question = f"What sings the {who}?"
            asked.append(Question(f"{name}-{at}", name, question, (answer,), what in MISHEARD))
    heard = [
        Utterance(one.id, one.speaker, one.wav, duration=one.duration, text=hear(one.text or ""))
        for one in utterances
    ]
    for place, rows in ((folder / "data", utterances), (folder / "heard", heard)):
        kaldi_dir.write(place, rows)
        with ark.Writer(folder / "feats.ark", place / "feats.scp") as write:
            for name, features in feats.items():
                write(name, features)
        (place / "feats_type").write_text("mfcc\n")
        timed = {
            one.id: [
                Word(word, each.start, each.duration)
                for word, each in zip((one.text or "").split(), ctm[one.id])
            ]
            for one in rows
        }
        write_ctm(place / "ctm", timed)
        found = [
            Question(q.id, q.utt, q.question, (placed(q.answers[0], timed[q.utt]),), q.lost)
            for q in asked
        ]
        questions.write(place, found)
    return folder / "data", folder / "heard"


def hear(text: str) -> str:
    return " ".join(MISHEARD.get(word, word) for word in text.split())


def spoken(text: str, rng: np.random.Generator) -> tuple[np.ndarray, list[Word]]:
    """Samples (T,) of a text, a tone a word, and the words with their times."""
    time, sound, words = 0.05, [np.zeros(800)], []
    for word in text.split():
        length = round(rng.uniform(0.08, 0.14), 2)
        at = np.arange(round(length * 16000)) / 16000
        sound.append(0.3 * np.sin(2 * np.pi * TONES[word] * at))
        words.append(Word(word, round(time, 3), length))
        time += length
    samples = np.concatenate([*sound, np.zeros(1600)])
    samples += 1e-3 * rng.standard_normal(len(samples))
    return samples.astype(np.float32), words
