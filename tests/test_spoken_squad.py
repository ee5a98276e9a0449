"""Spoken-SQuAD: its files and faults, places of answers, data dirs, times; the generated corpus."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import corpus_spoken_squad as layout
from atat.datadir import kaldi_dir, questions, tables
from atat.datadir.corpus_spoken_squad import Given, Paragraph
from atat.datadir.ctm import Word, read_ctm, write_ctm
from atat.datadir.questions import Answer, Prediction, Question, Span
from atat.scoring import metrics, results, spans
from atat.scoring.answers import score_answers
from atat.speech import audio

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "spoken_squad" / "local"
SAID = "In 2016 the Denver Broncos won. The game was golden-themed; the Broncos won $5."
HEARD = "in twenty sixteen the denver bronco swam. the game was golden theme the broncos one five."
ASKED = [
    ("q1", "Who won?", [("Denver Broncos", 12), ("Broncos", 64)]),
    ("q2", "What was it?", [("game", 36)]),
    ("q3", "When?", [("2016", 3)]),
]
HEARD_ANSWERS = {"q1": [("broncos", 73)], "q2": [("game", 46)]}


def qas(answers: dict[str, list[tuple[str, int]]]) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "question": question,
            "answers": [{"text": t, "answer_start": n} for t, n in answers[name]],
        }
        for name, question, _ in ASKED
        if name in answers
    ]


def write_json(path: Path, paragraphs: list[list[dict[str, Any]]], version: str = "1.1") -> None:
    data = [{"title": str(n), "paragraphs": listed} for n, listed in enumerate(paragraphs)]
    path.write_text(json.dumps({"version": version, "data": data}))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two topics to train on and one to test; each has a paragraph without questions, too."""
    folder = tmp_path / "corpus"
    for part, names in layout.PARTS.items():
        topics = 2 if part == "train" else 1
        said, heard = [], []
        for topic in range(topics):
            renamed = lambda rows, t=topic, p=part: [  # noqa: E731
                {**row, "id": f"{p}{t}{row['id']}"} for row in rows
            ]
            everything = {name: answers for name, _, answers in ASKED}
            bare = {"context": "Nothing is asked.", "qas": []}
            said.append([bare, {"context": SAID, "qas": renamed(qas(everything))}])
            heard.append([bare, {"context": HEARD, "qas": renamed(qas(HEARD_ANSWERS))}])
            for sentence, seconds in enumerate((2.0, 3.0)):
                wav = folder / "audio" / names.audio / f"{topic}_1_{sentence}.wav"
                rng = np.random.default_rng(sentence)
                samples = 0.1 * rng.standard_normal(round(seconds * 16000))
                audio.save(wav, samples.astype(np.float32))
        write_json(folder / names.reference, said)
        write_json(folder / names.spoken, heard)
    return folder


def prepare(local: Any, corpus: Path, *options: str) -> Path:
    out = corpus.parent / "data"
    local("prepare_spoken_squad").main(["--corpus", str(corpus), "--out", str(out), *options])
    return out


def test_answers_have_the_words_that_their_characters_have() -> None:
    paragraph = Paragraph(0, 0, SAID, ())
    words = layout.words_of(paragraph)
    assert " ".join(words) == (
        "in twenty sixteen the denver broncos won the game was golden themed the broncos won "
        "five dollars"
    )
    for given, place in (
        (Given("2016", 3), (1, 2)),  # a number is several words
        (Given("Denver Broncos", 12), (4, 5)),
        (Given("Broncos", 68), (13, 13)),  # the second of two
        (Given("the Broncos won $5.", 64), (12, 16)),
        (Given("gold", 45), (10, 11)),  # a part of a word has all that stands between blanks
        (Given("broncos", 4), (5, 5)),  # wrong characters: the nearest
        (Given("broncos", 66), (13, 13)),
        (Given("panthers", 12), None),
        (Given(".", 30), None),
    ):
        assert layout.place(paragraph, given) == place, given


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": "v2.0", "data": []}, "`version` is 'v2.0', expected '1.1'"),
        ({"version": "1.1"}, "`data`: expected list, found no such key"),
        ({"version": "1.1", "data": []}, "holds no paragraph"),
        ({"version": "1.1", "data": [{"paragraphs": [{"qas": []}]}]}, "`context`: expected str"),
        ({"version": "1.1", "data": [{"paragraphs": [3]}]}, "topic 0, paragraph 0: `qas`"),
    ],
)
def test_files_of_another_form_are_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="squad.json") as error:
        layout.read(path)
    assert message in str(error.value)


def test_questions_without_answers_and_repeated_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    one = {"id": "q1", "question": "Who?", "answers": [{"text": "he", "answer_start": 0}]}
    for asked, message in (
        ([{**one, "answers": []}], "question q1: no answers"),
        ([one, one], "'q1' occurs a second time, first in topic 0, paragraph 0"),
    ):
        write_json(path, [[{"context": "he", "qas": asked}]])
        with pytest.raises(InputError, match=message):
            layout.read(path)


def test_data_dirs_of_what_was_said_and_of_what_was_heard(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus, "--dev_share", "0.5")
    said, heard = kaldi_dir.load(data / "test_reference"), kaldi_dir.load(data / "test")
    assert [one.id for one in said] == [one.id for one in heard] == ["test-000-001"]
    assert said[0].wav == heard[0].wav and said[0].duration == 5.0
    sentences = [audio.load(corpus / f"audio/dev_wav/0_1_{n}.wav") for n in (0, 1)]
    assert np.array_equal(audio.load(str(said[0].wav)), np.concatenate(sentences))
    assert [one.id for one in kaldi_dir.load(data / "dev")] == ["train-001-001"]
    assert [one.id for one in kaldi_dir.load(data / "train_asr")] == ["train-000-001"]
    texts = {name: tables.read_table(data / name / "text") for name in ("test", "test_reference")}
    asked = {name: questions.read(data / name, texts[name]) for name in texts}
    for name, rows in asked.items():
        assert [one.lost for one in rows] == [False, False, True], name
    places = {
        name: [[(a.first, a.last) for a in one.answers] for one in rows]
        for name, rows in asked.items()
    }
    assert places["test_reference"] == [[(4, 5), (13, 13)], [(8, 8)], [(1, 2)]]
    # What the corpus leaves out is lost, though our rules would find "twenty sixteen".
    assert places["test"] == [[(13, 13)], [(8, 8)], [(None, None)]]
    again = prepare(local, corpus, "--dev_share", "0.5")  # nothing is made twice
    assert questions.read(again / "test", texts["test"]) == asked["test"]
    joined = Path(str(said[0].wav))
    written = joined.stat().st_mtime_ns
    sentence = corpus / "audio/dev_wav/0_1_0.wav"
    audio.save(sentence, -sentences[0])  # another one, as long
    os.utime(sentence, ns=(written + 1, written + 1))
    prepare(local, corpus, "--dev_share", "0.5")
    assert np.array_equal(audio.load(joined)[: len(sentences[0])], -sentences[0])


def test_answers_are_timed_by_the_words_said(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus)
    for name in ("test", "test_reference"):
        text = tables.read_table(data / name / "text")["test-000-001"].split()
        words = [Word(word, 0.25 * number, 0.25) for number, word in enumerate(text)]
        write_ctm(data / name / "ctm", {"test-000-001": words})
    options = ["--spoken", str(data / "test_reference"), "--heard", str(data / "test")]
    local("time_questions").main(options)
    said, heard = (questions.read(data / name) for name in ("test_reference", "test"))
    assert [[(a.start, a.end) for a in one.answers] for one in said] == [
        [(1.0, 1.5), (3.25, 3.5)],
        [(2.0, 2.25)],
        [(0.25, 0.75)],
    ]
    assert (heard[0].answers[0].start, heard[0].answers[0].first) == (3.25, 13)
    # A lost answer has the time at which it was said, too.
    assert (heard[2].answers[0].start, heard[2].answers[0].first) == (0.25, None)


def test_an_answer_marked_at_two_places_is_right_at_either(local: Any) -> None:
    words = [Word(word, float(at), 1.0) for at, word in enumerate("the cat saw the cat".split())]
    asked = Question("q1", "p1", "What?", (Answer("cat", 1, 1), Answer("Cat", 4, 4)))
    lost = Question("q1", "p1", "What?", (Answer("cat"),), True)
    timing = local("time_questions")
    spoken = timing.spoken_times(asked, words, 5.0)
    for heard, places in ((asked, [1, 4]), (lost, [None, None])):
        found = timing.heard_times(heard, spoken, words if heard is asked else words[:1])
        answers = {(one.start, one.first) for one in found.answers}
        assert answers == set(zip([1.0, 4.0], places))
        for start in (1.0, 4.0):
            assert spans.counts(found, Span("cat", 0, 0, start, start + 1.0))["frame_f1"] == (1, 1)


def test_times_beyond_the_recording_are_counted(local: Any, corpus: Path, capsys: Any) -> None:
    data = prepare(local, corpus)
    text = tables.read_table(data / "test_reference" / "text")["test-000-001"].split()
    words = [Word(word, 2.0 + number, 1.0) for number, word in enumerate(text)]
    write_ctm(data / "test_reference" / "ctm", {"test-000-001": words})
    write_ctm(data / "test" / "ctm", {})
    options = ["--spoken", str(data / "test_reference"), "--heard", str(data / "test")]
    with pytest.raises(InputError, match=r"2 of 3 utterances \(questions\) have no time"):
        local("time_questions").main(options)
    local("time_questions").main([*options, "--max_lost", "0.7"])
    assert "1 of 3 questions have times" in capsys.readouterr().out
    assert list(tables.read_table(data / "test" / "questions.lost")) == ["test0q1", "test0q2"]


def test_what_cannot_be_used_is_listed_and_counted(local: Any, corpus: Path) -> None:
    (corpus / "audio/train_wav/1_1_0.wav").unlink()
    path = corpus / layout.PARTS["test"].reference
    path.write_text(path.read_text().replace('"text": "game"', '"text": "match"'))
    path = corpus / layout.PARTS["test"].spoken
    path.write_text(path.read_text().replace('"text": "game"', '"text": "match"'))
    with pytest.raises(InputError, match=r"2 of 4 paragraphs must be left out.*audio unpacked"):
        prepare(local, corpus)
    with pytest.raises(InputError, match="no paragraph is left for dev"):
        prepare(local, corpus, "--max_lost", "0.6")
    listed = (corpus.parent / "data" / "findings.txt").read_text()
    assert "train-001-001: those of the sentences 0 are missing" in listed
    assert "question whose answers are nowhere (left out): test-000-001 test0q2" in listed
    assert "counted as lost: test-000-001 test0q2" in listed


def test_a_recording_that_ends_before_its_words_is_left_out(local: Any, corpus: Path) -> None:
    words = {f"0_1_{n}": [Word("well", 0.5, 1.0)] for n in (0, 1)}
    write_ctm(corpus / "audio" / "dev_wav.ctm", words)
    data = prepare(local, corpus, "--dev_share", "0.5")
    assert [w.start for w in read_ctm(data / "test_reference" / "ctm")["test-000-001"]] == [
        0.5,
        2.5,
    ]
    words["0_1_1"] = [Word("well", 0.5, 9.0)]
    write_ctm(corpus / "audio" / "dev_wav.ctm", words)
    with pytest.raises(InputError, match="must be left out"):
        prepare(local, corpus)
    listed = (corpus.parent / "data" / "findings.txt").read_text()
    assert "lasts 3.00 s, but its last word ends at 9.50 s" in listed


def test_files_of_different_corpora_and_other_folders_are_refused(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected Spoken-SQuAD with SQuAD 1.1"):
        prepare(local, tmp_path / "corpus" / "audio" / "train_wav")
    path = corpus / layout.PARTS["test"].spoken
    path.write_text(path.read_text().replace("test0q1", "other"))
    with pytest.raises(InputError, match="'other' is not in that paragraph of dev-v1.1.json"):
        prepare(local, corpus)


def test_generated_questions_have_one_answer_in_their_paragraph(local: Any) -> None:
    facts, make_corpus = local("facts"), local("make_corpus")
    train, test = facts.divide(
        facts.load(LOCAL.parent / "conf" / "facts.yaml"), 0.15, 0.35, random.Random(1)
    )
    seen = {word for values in train.values.values() for value in values for word in value.split()}
    new = {word for values in test.values.values() for value in values for word in value.split()}
    assert len(new - seen) > 20  # names that training does not have
    for seed in range(20):
        paragraph = facts.draw(test, 5, 5, random.Random(seed))
        assert len(paragraph.told) == 5 and 1 <= len(paragraph.asked) <= 5
        context, places = make_corpus.written(paragraph)
        assert context.count(". ") == 4 and context.endswith(".")
        for one in paragraph.asked:
            told, answer = paragraph.told[one.sentence], places[one.sentence, one.slot]
            start = answer["answer_start"]
            assert context[start : start + len(answer["text"])] == answer["text"]
            assert answer["text"].lower() == told.slots[one.slot]
            # What the question names besides is said in that sentence only.
            named = [v for s, v in told.slots.items() if s != one.slot and v in one.question]
            others = [t.text for t in paragraph.told if t is not told]
            assert all(value not in text for value in named for text in others) or not named


def test_the_spoken_file_has_what_was_heard(local: Any) -> None:
    context = "Ann Lee wrote it in Rome. Rome is old."
    asked = (
        layout.Asked("q1", "Where?", (Given("Rome", 20),)),
        layout.Asked("q2", "Who?", (Given("Ann Lee", 0),)),
    )
    heard = local("write_spoken").heard(Paragraph(0, 0, context, asked), ["and lee", "rome is"])
    assert heard["context"] == "and lee. rome is."
    (one,) = heard["qas"]  # the second is lost
    assert one["id"] == "q1" and one["answers"] == [{"answer_start": 9, "text": "rome"}]


def test_as_many_words_are_misheard_as_a_version_says(local: Any) -> None:
    rng = random.Random(1)
    vocabulary = [f"{first}{second}" for first in "abcdefgh" for second in "klmnoprs"]
    paragraphs, found = [], []
    for number in range(40):
        sentences = [" ".join(rng.choices(vocabulary, k=12)) for _ in range(3)]
        asked = (layout.Asked(f"q{number}", "What?", (Given(sentences[0].split()[0], 0),)),)
        paragraphs.append(Paragraph(0, number, ". ".join(sentences) + ".", asked))
        sentences[2] = sentences[2].replace("a", "b")  # what the recogniser itself got wrong
        found.append(local("write_spoken").heard(paragraphs[-1], sentences))
    for rate in (0.44, 0.54):
        made = local("write_spoken").misheard(paragraphs, found, rate, random.Random(2))
        wrong = total = 0.0
        for one, other in zip(paragraphs, made):
            words = other["context"].replace(".", "")
            edits, count = metrics.text_counts(" ".join(layout.words_of(one)), words)["wer"]
            wrong, total = wrong + edits, total + count
        assert wrong / total == pytest.approx(rate, abs=0.05)
        assert [one["qas"] for one in made] == [one["qas"] for one in found]
        assert all(one["context"].count(".") == 3 for one in made)


def test_what_was_heard_in_noise_has_the_questions_of_the_test(corpus: Path, local: Any) -> None:
    names = layout.PARTS["test"]
    content = json.loads((corpus / names.spoken).read_text())
    for topic in content["data"]:
        for paragraph in topic["paragraphs"]:
            paragraph["context"] = "nothing of it was heard"
    (corpus / layout.version_of(names.spoken, "WER54")).write_text(json.dumps(content))
    data = prepare(local, corpus, "--max_lost", "0.5")
    left = {one.id for one in questions.read(data / "test_WER54")}
    heard = questions.read(data / "test")
    listed = {one["id"] for t in content["data"] for p in t["paragraphs"] for one in p["qas"]}
    assert left == listed & {one.id for one in heard} and left
    assert all(one.lost for one in questions.read(data / "test_WER54"))
    texts = tables.read_table(data / "test_WER54" / "text")
    assert set(texts.values()) == {"nothing of it was heard"}
    assert not (data / "test_WER44").exists()


@pytest.mark.parametrize("version", ["", "WER44", "WER54"])
def test_the_published_test_set_is_read_whole(version: str) -> None:
    folder = os.environ.get("ATAT_SPOKEN_SQUAD")
    if not folder:
        pytest.skip("ATAT_SPOKEN_SQUAD is not set: it names a clone of Spoken-SQuAD")
    name = layout.PARTS["test"].spoken
    found = layout.read(Path(folder) / (layout.version_of(name, version) if version else name))
    asked = [(one, each) for one in found for each in one.asked]
    assert (len(found), len(asked)) == (2067, 5351)
    assert max(len(layout.words_of(one)) for one in found) > 600
    lost = [
        each.id
        for one, each in asked
        if all(layout.place(one, given) is None for given in dict.fromkeys(each.answers))
    ]
    # The versions with noise have all questions of the one without, whatever was heard.
    assert len(lost) == {"": 0, "WER44": 1695, "WER54": 2605}[version]


def test_what_was_heard_is_compared_with_what_was_said(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    """Row (g) answers in the words as said, its baseline (e) in those that were heard: the same
    questions, whose right answers are written in two ways."""
    data = prepare(local, corpus)
    for run, name in (("better_boundaries", "test_reference"), ("speechbert", "test")):
        out = tmp_path / f"exp/{run}/seed1/answer_{name}"
        out.mkdir(parents=True)
        asked = questions.read(data / name)
        questions.write_predictions(out, [Prediction(one.id, Span("x")) for one in asked])
        (out / "decode.json").write_text("{}")
        score_answers(data / name, out, data / "test_reference")
    text = (LOCAL.parent / "conf/results.yaml").read_text()
    text = text.replace("{exp}", str(tmp_path / "exp")).replace("{data}", str(data))
    (tmp_path / "results.yaml").write_text(text)
    results.main(
        ["--config", str(tmp_path / "results.yaml"), "--out", str(tmp_path / "RESULTS.md")]
    )
    differences = [
        line
        for line in (tmp_path / "RESULTS.md").read_text().splitlines()
        if line.startswith("| (g)") and " - (e)" in line
    ]
    assert differences and any("not run" not in line for line in differences)
