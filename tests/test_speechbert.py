"""SpeechBERT: segments and their vectors, masks, windows, the four stages through the engine, what
is frozen, answers of one model and of several.

The corpus is that of spoken_paragraphs: six recordings, a tone for a word, two questions each.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spoken_paragraphs
import torch
from tokenizers import Tokenizer
from tone_commands import interrupted, trained
from torch import Tensor

from atat.apps import recognize
from atat.apps.recognizer import Recognizer as AnyRecognizer
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, questions
from atat.datadir.ctm import Word, read_ctm, write_ctm
from atat.engine import checkpoint, decode, model_folder, partial
from atat.engine.settings import BatchSettings, InitSettings, SourceSettings, ValidSettings
from atat.engine.validate import validate
from atat.nn.segment_autoencoder import SegmentDecoder, SegmentEncoder
from atat.nn.word_bert import WordBert
from atat.prepare import miniature_bert, moonshine_jobs, timed_words
from atat.speech import audio
from atat.systems.speechbert import answer_command, batch, build, mlm, segments, spans
from atat.systems.speechbert.answerer import Answerer
from atat.systems.speechbert.answering import Paragraphs
from atat.systems.speechbert.batch import IGNORED
from atat.systems.speechbert.mlm import Masked, Masking
from atat.systems.speechbert.packed import SpeechBertPacked
from atat.systems.speechbert.qa import Questions
from atat.systems.speechbert.recognizer import Recognizer
from atat.systems.speechbert.settings import (
    AUDIO,
    QA,
    TEXT,
    WORDS,
    AutoencoderSettings,
    OptimSettings,
    ScratchSettings,
    SpeechBertSettings,
)
from atat.systems.speechbert.system import system
from atat.systems.speechbert.windows import Window, chosen, merged, windows
from atat.systems.speechbert.words import CLS, FIRST, MASK, SEP, Words
from atat.text import bert_files, word_pieces

SMALL = ScratchSettings(width=32, layers=2, heads=2, dropout=0.0, spread=0.1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return spoken_paragraphs.make(tmp_path_factory.mktemp("speechbert"), 6)


@pytest.fixture(scope="module")
def data(corpus: tuple[Path, Path]) -> Path:
    return corpus[0]


@pytest.fixture(scope="module")
def heard(corpus: tuple[Path, Path]) -> Path:
    return corpus[1]


def settings(data: Path, *tasks: str, start: Path | None = None, **more: Any) -> SpeechBertSettings:
    sources = tuple(SourceSettings(str(data), task) for task in tasks)
    values: dict[str, Any] = {
        "system": "speechbert",
        "train": sources,
        "steps": 12,
        "scratch": SMALL,
        "autoencoder": AutoencoderSettings(hidden=16),
        "valid": ValidSettings(sources=sources, every=1000),
        "optim": OptimSettings(schedule="constant", peak=3e-3),
        "batch": BatchSettings(examples=12, block=1),
        "checkpoint_every": 6,
        "log_every": 100,
        "precision": "fp32",
        "workers": 0,
        "max_lost": 0.0,
        "min_count": 1,
        "max_length": 40,
        "stride": 6,
    }
    if start is not None:
        values["init"] = InitSettings(model=str(start / "model"))
    return SpeechBertSettings(**{**values, **more})


@pytest.fixture(scope="module")
def text(data: Path) -> Path:
    return trained(settings(data, TEXT), data.parent / "text")


@pytest.fixture(scope="module")
def words(data: Path, text: Path) -> Path:
    conf = settings(
        data, WORDS, start=text, steps=40, optim=OptimSettings(peak=5e-3, schedule="constant")
    )
    return trained(conf, data.parent / "words")


@pytest.fixture(scope="module")
def joint(data: Path, words: Path) -> Path:
    conf = settings(data, AUDIO, TEXT, start=words, valid=ValidSettings(average=2, every=1000))
    return trained(conf, data.parent / "joint")


LEARNED = {"steps": 100, "optim": OptimSettings(peak=6e-3, warmup=10)}


@pytest.fixture(scope="module")
def speech(data: Path, joint: Path) -> Path:
    return trained(settings(data, QA, start=joint, **LEARNED), data.parent / "speech")


@pytest.fixture(scope="module")
def cascade(data: Path, heard: Path, text: Path) -> Path:
    conf = settings(heard, QA, start=text, reads="text", **LEARNED)
    return trained(conf, data.parent / "cascade")


# --------------------------------------------------------------------------- layers


def some_segments(rng: np.random.Generator, sizes: list[int]) -> tuple[Tensor, Tensor]:
    frames = rng.standard_normal((sum(sizes), 5)).astype(np.float32)
    return torch.from_numpy(frames), torch.tensor(sizes)


def test_a_vector_is_a_function_of_its_segments_frames_alone() -> None:
    torch.manual_seed(0)
    encoder = SegmentEncoder(5, 6, 8)
    frames, sizes = some_segments(np.random.default_rng(0), [3, 11, 1, 7])
    with torch.inference_mode():
        found = encoder(frames, sizes)
        for vector, alone in zip(found, frames.split(sizes.tolist())):
            torch.testing.assert_close(encoder(alone, torch.tensor([len(alone)]))[0], vector)
        shorter = encoder(frames[:-1], torch.tensor([3, 11, 1, 6]))
        torch.testing.assert_close(shorter[:3], found[:3])
        assert not torch.allclose(shorter[3], found[3])


def test_the_encoder_is_a_bidirectional_lstm() -> None:
    torch.manual_seed(0)
    encoder, lstm = SegmentEncoder(5, 6, 8), torch.nn.LSTM(5, 6, bidirectional=True)
    with torch.no_grad():
        for cell, ending in ((encoder.onward, "l0"), (encoder.reverse, "l0_reverse")):
            for name, value in cell.named_parameters():
                value.copy_(getattr(lstm, f"{name}_{ending}"))
        frames, sizes = some_segments(np.random.default_rng(0), [3, 11, 1, 3, 7])
        found = encoder(frames, sizes)
        for vector, alone in zip(found, frames.split(sizes.tolist())):
            _, (last, _) = lstm(alone)
            torch.testing.assert_close(encoder.linear(last.flatten()), vector)


def test_the_decoder_writes_each_segment_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    decoder = SegmentDecoder(5, 8)
    sizes, vectors = [2, 6, 1, 6, 4], torch.randn(5, 8)
    with torch.inference_mode():
        together = decoder(vectors, torch.tensor(sizes)).split(sizes)
        for vector, found in zip(vectors, together):
            state, frame = (vector[None], torch.zeros(1, 8)), torch.zeros(1, 5)
            for written in found:
                state = decoder.cell(frame, state)
                frame = decoder.linear(state[0])
                torch.testing.assert_close(frame[0], written)


def test_padding_changes_nothing_and_a_spoken_word_enters_by_its_vector() -> None:
    torch.manual_seed(1)
    masked: Any = bert_files.scratch(16, 2, 2, 30)
    network = WordBert(masked.bert, masked.cls.predictions, 12).eval()
    rng = np.random.default_rng(0)
    rows = []
    for count in (4, 9):
        ids = rng.integers(FIRST, 12, count)
        hidden = rng.random(count) < 0.3
        vectors = rng.standard_normal((count, 16)).astype(np.float32)
        rows.append(
            batch.sequence("", ids, vectors=vectors, hidden=hidden, question=np.array([6, 7]))
        )
    rows.append(batch.sequence("", np.array([8, 9])))
    with torch.inference_mode():
        together = network(batch.of_sequences(rows, QA).inputs)
        for row, found in zip(rows, together):
            embedded = network.table[torch.from_numpy(row.ids)].clone()
            embedded[torch.from_numpy(row.spoken)] = torch.from_numpy(row.vectors.reshape(-1, 16))
            alone = masked.bert(
                inputs_embeds=embedded[None], token_type_ids=torch.from_numpy(row.types)[None]
            ).last_hidden_state[0]
            torch.testing.assert_close(found[: len(row.ids)], alone, atol=1e-5, rtol=1e-4)


def test_a_sequence_is_laid_out_as_in_the_paper() -> None:
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    hidden = np.array([False, True, False, False])
    one = batch.sequence(
        "", np.full(4, MASK), vectors=vectors, hidden=hidden, question=np.array([7, 8]), start=1,
        end=3,
    )  # fmt: skip
    assert one.ids.tolist() == [CLS, 7, 8, SEP, 0, MASK, 0, 0, SEP]
    assert one.types.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert np.flatnonzero(one.spoken).tolist() == [4, 6, 7]
    assert one.vectors.tolist() == vectors[~hidden].tolist()
    assert (one.start, one.end) == (5, 7)
    elsewhere = batch.sequence("", np.array([9]), question=np.array([7]), start=-1, end=-1)
    assert (elsewhere.start, elsewhere.end) == (0, 0)


# --------------------------------------------------------------------------- words, masks


def test_words_seen_twice_are_known_and_kept(tmp_path: Path) -> None:
    found = Words.of_texts(["the cat", "the hen", "the cat sings"], 2)
    assert found.names == (*word_pieces.SPECIALS, "the", "cat")
    assert found.ids("the hen".split()).tolist() == [FIRST, 1]
    found.write(tmp_path)
    assert Words.read(tmp_path) == found
    (tmp_path / "words.txt").write_text("the\n")
    with pytest.raises(InputError, match="words.txt: expected"):
        Words.read(tmp_path)


def test_masked_words_are_a_share_of_the_known_and_bert_replaces_them() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 5000, 40000)
    ids[::7] = 1
    masking = Masking(0.15, 0.1, 0.1)
    drawn = masking.draw(ids, rng)
    assert not drawn[ids < FIRST].any()
    assert drawn[ids >= FIRST].mean() == pytest.approx(0.15, abs=0.01)
    entering = masking.entering(ids, drawn, 5000, rng)
    assert (entering[~drawn] == ids[~drawn]).all() and (entering[drawn] >= MASK).all()
    assert (entering[drawn] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (entering[drawn] == ids[drawn]).mean() == pytest.approx(0.1, abs=0.02)
    always = Masking(0.15, 0.0, 0.0).entering(ids, drawn, 5000, rng)
    assert (always[drawn] == MASK).all()


def sources(conf: SpeechBertSettings) -> list[Any]:
    return list(build.build(conf).train)


def test_what_is_masked_is_not_in_the_batch_and_its_word_is_the_target(
    data: Path, words: Path
) -> None:
    spoken, _ = sources(settings(data, AUDIO, TEXT, start=words, masked=0.5))
    assert isinstance(spoken, Masked)
    for number in range(len(spoken)):
        one = spoken.example(number, np.random.default_rng(number))
        hidden = one.ids == MASK
        ids = spoken.words.ids((spoken.utterances[number].text or "").split())
        vectors = spoken.vectors(spoken.utterances[number])
        assert hidden.any() and (hidden == (one.targets != IGNORED)).all()
        assert (one.targets[hidden] == ids[hidden[1:-1]]).all()
        assert np.array_equal(one.vectors, vectors[~hidden[1:-1]])
        assert not one.spoken[hidden].any() and one.spoken.sum() + hidden.sum() == len(ids)


@pytest.mark.parametrize("lost", [True, False])
def test_questions_that_the_recogniser_lost_are_read_where_they_are_asked_for(
    data: Path, text: Path, lost: bool
) -> None:
    every = questions.read(data)
    assert all(one.found for one in every) and 0 < sum(one.lost for one in every) < len(every)
    wanted = {one.id for one in every if lost or not one.lost}
    (read,) = sources(settings(data, QA, start=text, reads="text", lost_questions=lost))
    assert {one.question.id for one in read.asked} == wanted
    (masked,) = sources(settings(data, TEXT, lost_questions=lost))
    names = {part.name for part in masked.parts if part.utterance is None}
    assert names == {f"question {name}" for name in wanted}


@pytest.mark.parametrize(("count", "most"), [(1, 10), (10, 10), (11, 10), (99, 10), (7, 2)])
def test_long_paragraphs_are_cut_into_equal_parts(count: int, most: int) -> None:
    parts = mlm.even(count, most)
    assert [word for first, end in parts for word in range(first, end)] == list(range(count))
    sizes = [end - first for first, end in parts]
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(parts) == -(-count // most)
    assert mlm.even(0, most) == []


# --------------------------------------------------------------------------- segments


def test_words_have_the_frames_of_their_times() -> None:
    said = [Word("a", 0.0, 0.104), Word("b", 0.104, 0.001), Word("c", 0.3, 0.25)]
    assert segments.segments(said, 50, 0.01).tolist() == [[0, 10], [10, 11], [30, 50]]
    assert segments.segments([Word("d", 0.49, 0.03)], 48, 0.01).tolist() == [[47, 48]]
    with pytest.raises(InputError, match="word 3 .'c'. ends at 0.55 s.*shorter than its alignment"):
        segments.segments(said, 45, 0.01)


# --------------------------------------------------------------------------- windows, spans


@pytest.mark.parametrize("words_", [1, 5, 20, 21, 33, 100])
@pytest.mark.parametrize("stride", [1, 6, 12])
def test_windows_cover_every_word_and_the_one_with_most_context_counts(
    words_: int, stride: int
) -> None:
    found = windows(words_, 5, 28, stride)
    assert {word for first, end in found for word in range(first, end)} == set(range(words_))
    assert all(end - first <= 20 for first, end in found)
    assert all(after.first - one.first == stride for one, after in zip(found, found[1:]))
    assert (len(found) == 1) == (words_ <= 20)

    def context(word: int, window: Window) -> float:
        inside = window.first <= word < window.end
        return min(word - window.first, window.end - 1 - word) if inside else -1

    for word, number in enumerate(chosen(found)):
        assert context(word, found[number]) == max(context(word, one) for one in found)
    values = [np.arange(first, end)[:, None] + 0.001 * at for at, (first, end) in enumerate(found)]
    assert np.array_equal(merged(found, values)[:, 0].astype(int), np.arange(words_))


@pytest.mark.parametrize(
    ("question", "stride", "message"),
    [
        (38, 6, "leaves room for 0 of the paragraph's 50"),
        (33, 6, "leaves room for 4 .*too long; shorten it, lower stride, or raise"),
        (5, 0, "50 words, and beside the question 32 fit .*stride 128"),
    ],
)
def test_what_does_not_fit_into_windows_is_refused(
    question: int, stride: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        windows(50, question, 40, stride)
    assert windows(3, 34, 40, 6) == [Window(0, 3)]


def test_the_best_spans_are_those_of_a_full_search() -> None:
    log_probs = np.random.default_rng(0).standard_normal((17, 2))
    everything = [
        (log_probs[first, 0] + log_probs[last, 1], first, last)
        for first in range(17)
        for last in range(first, min(first + 4, 17))
    ]
    wanted = sorted(everything, key=lambda one: (-one[0], one[1:]))[:9]
    found = spans.best(log_probs, 4, 9)
    assert [(one.score, one.first, one.last) for one in found] == wanted
    assert len(spans.best(log_probs[:1], 30, 5)) == 1


# --------------------------------------------------------------------------- stages


def weights(run: Path) -> dict[str, Tensor]:
    state, _ = checkpoint.newest(run)
    assert state is not None
    found: dict[str, Tensor] = state["model"]
    return found


@pytest.mark.parametrize("tasks", [(TEXT,), (WORDS,), (AUDIO, TEXT), (QA,)])
def test_resumed_is_uninterrupted(
    tasks: tuple[str, ...], data: Path, text: Path, words: Path, tmp_path: Path
) -> None:
    start = {TEXT: None, WORDS: text}.get(tasks[0], words)
    scratch = replace(SMALL, dropout=0.1)
    conf = settings(data, *tasks, start=start, steps=6, checkpoint_every=4, scratch=scratch)
    straight, resumed = trained(conf, tmp_path / "a"), interrupted(conf, tmp_path / "b", 6)
    one, other = weights(straight), weights(resumed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_each_stage_trains_its_part_and_leaves_the_rest_to_the_bit(
    text: Path, words: Path, joint: Path, speech: Path
) -> None:
    states = [
        model_folder.load(run / "model").model.state_dict() for run in (text, words, joint, speech)
    ]
    for name, value in states[0].items():  # the text BERT, while the autoencoder is trained
        assert torch.equal(value, states[1][name]), name
    encoder = [name for name in states[1] if name.startswith("encoder.")]
    assert encoder
    for state in states[2:]:  # the encoder afterwards; the joint model is a mean of checkpoints
        assert [name for name in state if name.startswith("encoder.")] == encoder
        for name in encoder:
            assert torch.equal(state[name], states[1][name]), name
    still = {name for name in states[3] if name in states[2] and "encoder." != name[:8]}
    still = {name for name in still if torch.equal(states[2][name], states[3][name])}
    assert still <= {"network.bert.embeddings.position_ids"}
    assert not any(name.startswith("decoder.") for state in states[2:] for name in state)


def figures(run: Path, which: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "train.json").read_text())["validations"][-1]
    return dict(found["sources"][which])


def test_the_loss_of_a_validation_is_what_is_minimised(
    data: Path, words: Path, joint: Path
) -> None:
    for task, start in ((WORDS, words), (QA, joint)):
        run = settings(data, task, start=start, autoencoder=AutoencoderSettings(hidden=16, l1=0.3))
        parts = build.build(run)
        model, source = parts.packed.model.eval(), parts.valid[0]
        whole = source.collate([source.example(number) for number in range(len(source))])
        counts, terms = whole.counts(), model.losses(whole)
        assert {term.weight for term in terms.values()} - {0.0, 1.0}
        minimised = sum(
            term.weight * float(term.total.detach()) / counts[term.of or name]
            for name, term in terms.items()
        )
        (found,) = validate(system, model, [source], torch.device("cpu"), 0)
        assert found.figures["loss"] == pytest.approx(minimised, rel=1e-4), task


def test_vectors_come_near_the_embeddings_of_their_words(words: Path) -> None:
    assert figures(words)["nearest"] > 0.9


def test_equal_frames_have_one_vector_and_changed_times_another(
    data: Path, words: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(data, tmp_path / "copied"))
    timed = read_ctm(data / "ctm")
    one = timed["p03"][2]
    timed["p03"][2] = replace(one, duration=one.duration - 0.03)
    write_ctm(copied / "ctm", timed)
    changes: dict[str, Any] = {"start": words, "stored": str(tmp_path / "stored")}
    before, after = (sources(settings(folder, AUDIO, **changes))[0] for folder in (data, copied))
    for number, utterance in enumerate(before.utterances):
        first, second = before.vectors(utterance), after.vectors(after.utterances[number])
        same = np.isclose(first, second, atol=1e-5).all(1)
        assert same.tolist() == [(utterance.id, at) != ("p03", 2) for at in range(len(same))]


def answered(out: Path, data: Path, *models: Path, more: tuple[str, ...] = ()) -> Path:
    named = [part for run in models for part in ("--model", str(run / "model"))]
    answer_command.main([*named, "--data", str(data), "--out", str(out), "--nj", "1", *more])
    return out


def right(out: Path, data: Path) -> float:
    gold = {one.id: one.answers[0] for one in questions.read(data)}
    found = questions.read_predictions(out)
    assert len(found) == len(gold)
    return float(
        np.mean([(one.best.first, one.best.last) == (gold[one.id].first, gold[one.id].last)
                 for one in found])
    )  # fmt: skip


def test_a_few_paragraphs_are_learned_by_heart(data: Path, speech: Path, tmp_path: Path) -> None:
    assert figures(speech)["exact_match"] == 1.0
    out = answered(tmp_path / "out", data, speech)
    assert right(out, data) == 1.0
    timed = read_ctm(data / "ctm")
    asked = {one.id: one for one in questions.read(data)}
    for one in questions.read_predictions(out):
        assert one.best == one.nbest[0] and len(one.nbest) == 5
        best, said = one.best, timed[asked[one.id].utt]
        assert best.first is not None and best.last is not None
        assert best.text == " ".join(word.text for word in said[best.first : best.last + 1])
        assert (best.start, best.end) == (said[best.first].start, said[best.last].end)
        scores = [span.score for span in one.nbest]
        assert scores == sorted(scores, reverse=True)


def test_text_that_a_recogniser_heard_is_answered_likewise(
    data: Path, heard: Path, cascade: Path, tmp_path: Path
) -> None:
    assert figures(cascade)["exact_match"] == 1.0
    out = answered(tmp_path / "out", heard, cascade)
    gold = {one.id: one for one in questions.read(heard)}
    for one in questions.read_predictions(out):
        for answer in gold[one.id].found:
            assert (one.best.first, one.best.last) == (answer.first, answer.last)
    assert any(one.lost and not one.found for one in gold.values())
    reading = sources(settings(heard, QA, start=cascade, reads="text"))[0]
    assert isinstance(reading, Questions)
    assert {one.question.id for one in reading.asked} == {
        name for name, one in gold.items() if one.found
    }


def test_audio_reads_no_word_and_text_no_sound(
    data: Path, heard: Path, speech: Path, cascade: Path
) -> None:
    for run, of_text, of_sound in ((speech, True, False), (cascade, False, True)):
        packed = model_folder.load_as(SpeechBertPacked, run / "model")
        answerer = Answerer([packed])
        paragraphs = Paragraphs.read(data, answerer, 3)
        one = paragraphs.utterances[0]
        asked = [each.question for each in paragraphs.questions[one.id]]
        sounds = None if paragraphs.spoken is None else paragraphs.spoken.read(one)
        found = answerer.answers((one.text or "").split(), asked, sounds, 3)
        other = ["the"] * len((one.text or "").split())
        assert (answerer.answers(other, asked, sounds, 3) == found) == of_text
        assert (sounds is None) == of_sound


@pytest.mark.parametrize("longest", [40, 15, 13])
def test_a_words_score_is_that_of_its_window(data: Path, cascade: Path, longest: int) -> None:
    """And in one window the softmax over all words, as without windows."""
    packed = model_folder.load_as(SpeechBertPacked, cascade / "model")
    packed.limits = replace(packed.limits, max_length=longest, stride=2)
    paragraph, asked = (kaldi_dir.load(data)[0].text or "").split(), "what sings the cat"
    answerer = Answerer([packed])
    places = windows(len(paragraph), 4, longest, 2)
    assert (len(places) > 1) == (longest < 40)
    question, ids = packed.words.ids(asked.split()), packed.words.ids(paragraph)
    of_windows = []
    for first, end in places:
        row = batch.sequence("", ids[first:end], question=question)
        with torch.inference_mode():
            scores = packed.model.scores(batch.of_sequences([row], QA).inputs)[0]
        of_windows.append(scores[6 : 6 + end - first])
    wanted = torch.from_numpy(merged(places, [one.numpy() for one in of_windows])).log_softmax(0)
    found = {
        (one.first, one.last): one.score
        for one in answerer.answers(paragraph, [asked], None, 500)[0]
    }
    assert len(found) == len(paragraph) * (len(paragraph) + 1) // 2
    for (first, last), score in found.items():
        assert score == pytest.approx(float(wanted[first, 0] + wanted[last, 1]), abs=1e-4)


def test_a_model_with_itself_is_itself_and_answers_stay_short(
    data: Path, speech: Path, cascade: Path, tmp_path: Path
) -> None:
    alone = answered(tmp_path / "alone", data, speech)
    twice = answered(tmp_path / "twice", data, speech, speech)
    assert questions.read_predictions(alone) == questions.read_predictions(twice)
    both = answered(tmp_path / "both", data, speech, cascade, more=("--max_answer", "1"))
    for one in questions.read_predictions(both):
        assert all(span.first == span.last for span in one.nbest)
    packed = [model_folder.load_as(SpeechBertPacked, run / "model") for run in (speech, cascade)]
    answerers = [Answerer([one], 1) for one in packed]
    scores = [
        {
            (name, span.first): span.score
            for at in range(6)
            for entry in Paragraphs.read(data, each, 100)[at]  # type: ignore[union-attr]
            for name, found in entry["answers"].items()
            for span in found
        }
        for each in answerers
    ]
    for one in questions.read_predictions(both):
        for span in one.nbest:
            mean = np.mean([of[one.id, span.first] for of in scores])
            assert span.score == pytest.approx(mean)


def test_answering_goes_on_where_it_was_interrupted(
    data: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answered(tmp_path / "whole", data, speech, more=("--nj", "2"))
    answers, done = Answerer.answers, []

    def counted(self: Answerer, *given: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(given)
        return answers(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Answerer, "answers", counted)
        with pytest.raises(KeyboardInterrupt):
            answered(tmp_path / "cut", data, speech)
    assert len((tmp_path / "cut" / partial.PARTIAL).read_text().splitlines()) == 2
    cut = answered(tmp_path / "cut", data, speech)
    assert (cut / questions.ANSWERS).read_text() == (whole / questions.ANSWERS).read_text()
    assert not (cut / partial.PARTIAL).exists()
    stamp = (cut / questions.ANSWERS).stat().st_mtime_ns
    answered(cut, data, speech)
    assert (cut / questions.ANSWERS).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("which", ["text", "words", "joint", "speech", "cascade"])
def test_a_packed_model_is_that_of_the_run(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    packed: Any = model_folder.load(request.getfixturevalue(which) / "model")
    model_folder.save(tmp_path / "again", packed)
    again: Any = model_folder.load(tmp_path / "again")
    assert (again.about(), again.words) == (packed.about(), packed.words)
    state = again.model.state_dict()
    for name, value in packed.model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_recording_is_answered_as_its_line_of_a_data_dir(
    data: Path, speech: Path, tmp_path: Path
) -> None:
    found = questions.read_predictions(answered(tmp_path / "out", data, speech))
    recognizer = Recognizer(model_folder.load_as(SpeechBertPacked, speech / "model"))
    utterance, timed = kaldi_dir.load(data)[0], read_ctm(data / "ctm")
    asked = questions.read(data)[0]
    assert asked.utt == utterance.id
    one = recognizer.answer(audio.load(str(utterance.wav)), timed[utterance.id], asked.question)
    assert (one.best.first, one.best.last) == (found[0].best.first, found[0].best.last)
    assert one.best.score == pytest.approx(found[0].best.score, abs=1e-3)
    assert one.best.start == found[0].best.start and one.best.end == found[0].best.end


def test_a_bert_lends_its_transformer_and_where_asked_its_embeddings(
    data: Path, tmp_path: Path
) -> None:
    miniature_bert.write([one.text or "" for one in kaldi_dir.load(data)], tmp_path / "bert")
    masked: Any = bert_files.pretrained_masked(str(tmp_path / "bert"), "bert")
    stored = Tokenizer.from_file(str(tmp_path / "bert" / "tokenizer.json"))
    stored.enable_padding(length=32)  # as that of a sentence encoder
    stored.save(str(tmp_path / "bert" / "tokenizer.json"))
    tokenizer = bert_files.pretrained_tokenizer(str(tmp_path / "bert"))
    for embeddings in ("random", "pieces"):
        conf = settings(data, TEXT, bert=str(tmp_path / "bert"), embeddings=embeddings)
        packed: Any = build.build(conf).packed
        network = packed.model.network
        layers = network.bert.encoder.state_dict()
        for name, value in masked.bert.encoder.state_dict().items():
            assert torch.equal(value, layers[name]), name
        pieces = masked.bert.embeddings.word_embeddings.weight
        number = packed.words.names.index("sings")
        ids = tokenizer.encode("sings", add_special_tokens=False).ids
        assert 0 < len(ids) <= len("sings")
        same = torch.allclose(network.table[number], pieces[ids].mean(0))
        assert same == (embeddings == "pieces")
        assert torch.equal(network.table[CLS], pieces[tokenizer.token_to_id("[CLS]")]) == same


# --------------------------------------------------------------------------- mistakes


def test_stages_out_of_order_are_refused(data: Path, text: Path, speech: Path) -> None:
    with pytest.raises(InputError, match="init.model is missing: task qa starts from a model"):
        build.build(settings(data, QA))
    with pytest.raises(InputError, match="a model of text_mlm that reads text alone"):
        build.build(settings(data, QA, start=text))
    with pytest.raises(InputError, match="no longer predicts masked words"):
        build.build(settings(data, AUDIO, start=speech))
    with pytest.raises(InputError, match="tasks qa and text_mlm; a run has one"):
        settings(data, QA, TEXT)
    with pytest.raises(InputError, match="answers no questions; finetune it on qa"):
        Answerer([model_folder.load_as(SpeechBertPacked, text / "model")])
    with pytest.raises(InputError, match="an answer needs a question: atat answer"):
        decode.main(
            ["--model", str(speech / "model"), "--data", str(data), "--task", QA, "--out", "x"]
        )


def test_an_answer_outside_of_its_paragraph_is_named(
    data: Path, text: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(data, tmp_path / "bad"))
    asked = questions.read(data)
    moved = replace(asked[3].answers[0], first=70, last=71)
    asked[3] = replace(asked[3], answers=(moved,))
    questions.write(bad, asked)
    with pytest.raises(InputError, match="questions.jsonl:4: the answer .* is not the words 70"):
        build.build(settings(bad, QA, start=text, reads="text"))


def test_audio_shorter_than_its_alignment_is_named(
    data: Path, words: Path, speech: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(data, tmp_path / "bad"))
    timed = read_ctm(data / "ctm")
    timed["p02"][-1] = replace(timed["p02"][-1], duration=3.0)
    write_ctm(bad / "ctm", timed)
    with pytest.raises(InputError, match="p02: word .* the audio is shorter than its alignment"):
        build.build(settings(bad, WORDS, start=words))
    with pytest.raises(InputError, match="2 of 12 questions cannot be asked"):
        answered(tmp_path / "out", bad, speech)
    out = answered(tmp_path / "out", bad, speech, more=("--max_lost", "0.2"))
    found = {one.id: one.best for one in questions.read_predictions(out)}
    assert found["p02-0"].first is None and found["p03-0"].first is not None
    assert json.loads((out / "decode.json").read_text())["lost"].keys() == {"p02-0", "p02-1"}


def test_a_question_too_long_for_the_window_is_named(
    data: Path, text: Path, cascade: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(data, tmp_path / "bad"))
    asked = questions.read(data)
    asked[0] = replace(asked[0], question="what " * 36)
    questions.write(bad, asked)
    with pytest.raises(InputError, match="1 of 12 questions cannot be used.*\n.*it is too long"):
        build.build(settings(bad, QA, start=text, reads="text"))
    out = answered(tmp_path / "out", bad, cascade, more=("--max_lost", "0.1"))
    assert questions.read_predictions(out)[0].best.text == ""
    with pytest.raises(InputError, match="beside the question 4 fit into max_length 11.*stride"):
        build.build(settings(data, QA, start=text, reads="text", max_length=11, stride=0))


def test_features_of_another_kind_are_refused(data: Path, text: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(data, tmp_path / "bad"))
    (bad / "feats_type").unlink()
    with pytest.raises(InputError, match="features are lfb, the model reads mfcc.*--kind mfcc"):
        build.build(settings(bad, WORDS, start=text))
    (bad / "ctm").unlink()
    with pytest.raises(InputError, match="ctm: missing, but spoken words .* atat align"):
        build.build(settings(bad, WORDS, start=text))


# --------------------------------------------------------------------------- programs


def test_programs_ask_with_given_words_and_with_those_that_are_heard(
    data: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = AnyRecognizer.load(speech / "model")
    utterance, timed = kaldi_dir.load(data)[0], read_ctm(data / "ctm")
    said, asked = timed[utterance.id], questions.read(data)[0]
    wanted = asked.answers[0]
    found = recognizer(str(utterance.wav), question=asked.question, words=said)
    assert (found.text, found.seconds) == (wanted.text.lower(), (wanted.start, wanted.end))
    assert found.to_dict()["words"] == [wanted.first, wanted.last]
    loud = [Word(word.text.upper(), word.start, word.duration) for word in said]
    assert recognizer(str(utterance.wav), question=asked.question, words=loud) == found
    late = [*said, Word("late", said[-1].end + 9, 1.0)]
    with pytest.raises(InputError, match="its last word ends at .* correct the times of the words"):
        recognizer(str(utterance.wav), question=asked.question, words=late)
    heard: list[str] = []

    def hear(samples: np.ndarray, engine: str) -> list[Word]:
        heard.append(engine)
        return said

    monkeypatch.setattr(timed_words, "heard", hear)
    assert recognizer(str(utterance.wav), question=asked.question) == found
    assert heard == ["moonshine"]
    monkeypatch.setattr(timed_words, "heard", lambda samples, engine: [])
    assert recognizer(str(utterance.wav), question=asked.question).text == ""
    with pytest.raises(InputError, match="an answer needs a question"):
        recognizer(str(utterance.wav))
    with pytest.raises(InputError, match="the question has no words"):
        recognizer(str(utterance.wav), question="?", words=said)


def test_the_command_line_answers_questions(
    data: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    utterance, asked = kaldi_dir.load(data)[1], questions.read(data)[2]
    options = [str(speech / "model"), str(utterance.wav), "--question", asked.question]
    recognize.main([*options, "--ctm", str(data / "ctm")])
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] == asked.answers[0].text.lower() and len(found["nbest"]) == 5
    recognize.main([*options, "--ctm", str(data / "ctm"), "--nbest", "2"])
    assert json.loads(capsys.readouterr().out) == {**found, "nbest": found["nbest"][:2]}
    with pytest.raises(SystemExit) as exit_:
        recognize.main([options[0], str(data / "text"), *options[2:], "--ctm", str(data / "ctm")])
    assert exit_.value.code == recognize.BAD_INPUT
    assert "no words of 'text'" in capsys.readouterr().err


def test_what_stdin_holds_is_called_so_with_a_question_too(
    speech: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(SystemExit):
        recognize.main([str(speech / "model"), "-", "--question", "who won"])
    assert capsys.readouterr().err.startswith("error: stdin: is empty")


def test_words_are_heard_for_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser of pocketsphinx that two threads share ends the process."""
    inside: list[int] = []
    both = threading.Barrier(2)

    def hear(samples: np.ndarray) -> list[Word]:
        inside.append(1)
        time.sleep(0.05)  # in which the other thread would come
        assert len(inside) == 1
        inside.pop()
        return []

    def ask(engine: str) -> list[Word]:
        both.wait(30)
        return timed_words.heard(np.zeros(8, np.float32), engine)

    monkeypatch.setattr(timed_words, "_by_moonshine", hear)
    monkeypatch.setattr(timed_words, "_by_pocketsphinx", hear)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, timed_words.ENGINES)) == [[], []]


def test_a_recogniser_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", "/nowhere")
    moonshine_jobs._recognizer.cache_clear()
    with pytest.raises(InputError, match="moonshine-tiny.*or give the words with their times"):
        timed_words.heard(np.zeros(16000, np.float32), "moonshine")
    with pytest.raises(InputError, match="expected moonshine or pocketsphinx"):
        timed_words.heard(np.zeros(16000, np.float32), "other")
