"""Questions of a data dir and answers of a decoding: files, faults, places of answers."""

import json
import math
from dataclasses import replace

import pytest

from atat.base.errors import InputError
from atat.datadir import check, edit, normalize, questions, repair, tables
from atat.datadir.ctm import Word
from atat.datadir.questions import Answer, Prediction, Question, Span

TEXTS = {"p1": "winter light was written by maria bennett and maria bennett sings"}
QUESTION = Question(
    "q1", "p1", "Who wrote Winter Light?", (Answer("Maria Bennett", 5, 6, 1.5, 2.25),)
)


def timed(text):
    return [Word(word, 0.5 * number, 0.5) for number, word in enumerate(text.split())]


def test_what_is_written_is_read(tmp_path):
    lost = Question("q0", "p1", "Who sings?", (Answer("Zoë Lind", None, None, 4.0, 5.0),), True)
    questions.write(tmp_path, [QUESTION, lost])
    assert questions.read(tmp_path, TEXTS) == [lost, QUESTION]
    assert [bool(one.found) for one in (lost, QUESTION)] == [False, True]
    best = questions.span_of(timed(TEXTS["p1"]), 5, 6, -0.25)
    assert best == Span("maria bennett", 5, 6, 2.5, 3.5, -0.25)
    given = [Prediction("q1", best, (best, Span("maria", 5, 5, 2.5, 3.0, -math.inf)))]
    given.insert(0, Prediction("q0", Span()))
    questions.write_predictions(tmp_path, reversed(given))
    assert questions.read_predictions(tmp_path) == given


def test_questions_go_with_their_utterances(tmp_path):
    for name, utterances in (("one", ["p1", "p2"]), ("two", ["r1"])):
        tables.write_table(tmp_path / name / "utt2spk", {u: u for u in utterances})
        texts = dict.fromkeys(utterances, TEXTS["p1"])
        tables.write_table(tmp_path / name / "text", texts)
        asked = [replace(QUESTION, id=f"q-{u}", utt=u) for u in utterances]
        questions.write(tmp_path / name, asked)
    edit.subset(tmp_path / "one", tmp_path / "part", edit.first(1))
    assert [one.utt for one in questions.read(tmp_path / "part")] == ["p1"]
    edit.combine(tmp_path / "all", [tmp_path / "one", tmp_path / "two"])
    assert [one.utt for one in questions.read(tmp_path / "all")] == ["p1", "p2", "r1"]
    assert not check.validate(tmp_path / "all").errors
    (tmp_path / "two/questions.jsonl").unlink()
    edit.subset(tmp_path / "two", tmp_path / "part", edit.first(1))
    assert not (tmp_path / "part/questions.jsonl").exists()


def test_questions_of_one_name_are_refused_before_anything_is_written(tmp_path):
    for name in ("one", "two", "old"):
        tables.write_table(tmp_path / name / "utt2spk", {name: name})
        tables.write_table(tmp_path / name / "text", {name: TEXTS["p1"]})
        questions.write(tmp_path / name, [replace(QUESTION, utt=name)])
    with pytest.raises(InputError, match=f"{tmp_path}/two/.* 'q1' is also in {tmp_path}/one/"):
        edit.combine(tmp_path / "old", [tmp_path / "one", tmp_path / "two"])
    assert [one.utt for one in questions.read(tmp_path / "old")] == ["old"]


def test_questions_go_with_what_a_repair_drops_and_one_about_nobody_goes(tmp_path):
    utterances = ["p1", "p2", "p3"]
    tables.write_table(tmp_path / "utt2spk", {u: u for u in utterances})
    tables.write_table(tmp_path / "text", {u: TEXTS["p1"] if u != "p2" else "" for u in utterances})
    asked = [replace(QUESTION, id=f"q-{u}", utt=u) for u in (*utterances, "p9")]
    questions.write(tmp_path, asked)
    todo = repair.plan(tmp_path)
    assert "2 lines of questions.jsonl" in str(todo)
    repair.apply(todo, max_lost=0.5)
    assert questions.read(tmp_path) == [asked[0], asked[2]]
    assert questions.read(tmp_path / ".backup") == asked
    assert not check.validate(tmp_path).errors and repair.apply(repair.plan(tmp_path)) == []
    repair.drop(tmp_path, {"p1": "no features"})
    assert questions.read(tmp_path) == [asked[2]]
    (tmp_path / questions.QUESTIONS).write_text("torn\n")  # the user's to mend
    assert repair.apply(repair.plan(tmp_path)) == []


def test_normalize_refuses_to_renumber_words(tmp_path):
    tables.write_table(tmp_path / "utt2spk", {"p1": "p1"})
    tables.write_table(tmp_path / "text", {"p1": "At 9:30 " + TEXTS["p1"]})
    questions.write(tmp_path, [QUESTION])
    with pytest.raises(InputError, match="has questions.jsonl, .* write the questions again"):
        normalize.normalize_dir(tmp_path)
    assert tables.read_table(tmp_path / "text")["p1"].startswith("At 9:30")


def test_an_answer_is_at_the_place_nearest_to_its_time():
    words = timed(TEXTS["p1"])
    spoken = Answer("Maria Bennett.")
    assert questions.placed(spoken, words) == replace(spoken, first=5, last=6)
    late = replace(spoken, start=4.2, end=5.0)
    assert questions.placed(late, words) == replace(late, first=8, last=9)
    after = replace(spoken, start=7.0, end=8.0)
    assert questions.placed(after, words).first == 8
    assert (
        questions.placed(replace(late, text="maria benett", first=8, last=9), words).first is None
    )
    assert questions.places(["a"], "?!") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 3}, "`id`: expected str, found 3"),
        ({"lost": None}, "`lost`: expected bool"),
        ({"answers": []}, "needs one answer at least"),
        ({"answers": [3]}, "expected objects"),
        ({"answers": [{"text": "maria"}]}, "answer 1: `first`: expected int, found no such key"),
        ({"utt": "p2"}, "'p2', which the data dir does not have"),
        ({"first": 6, "last": 5}, "first, last are 6 and 5"),
        ({"last": None}, "first, last are 5 and None"),
        ({"end": float("nan")}, "`end`: expected a number or null"),
        ({"first": 4, "last": 5}, "is not the words 4 to 5 of 'p1' ('by maria', of 11 words)"),
        ({"first": 10, "last": 11}, "is not the words 10 to 11"),
    ],
)
def test_faults_name_the_line_and_the_key(tmp_path, change, message):
    questions.write(tmp_path, [replace(QUESTION, id="p"), QUESTION])
    path = tmp_path / questions.QUESTIONS
    first, second = path.read_text().splitlines()
    row = json.loads(second)
    place = row["answers"][0] if change.keys() <= {"first", "last", "end"} else row
    place.update(change)
    path.write_text(f"{first}\n{json.dumps(row)}\n")
    with pytest.raises(InputError) as error:
        questions.read(tmp_path, TEXTS)
    assert str(error.value).startswith(f"{path}:2: ") and message in str(error.value)


def test_validate_names_the_first_fault(tmp_path):
    tables.write_table(tmp_path / "text", TEXTS)
    tables.write_table(tmp_path / "utt2spk", {"p1": "p1"})
    questions.write(tmp_path, [QUESTION])
    assert not check.validate(tmp_path).errors
    tables.write_table(tmp_path / "text", {"p1": "winter light was by maria bennett"})
    report = check.validate(tmp_path)
    assert report.errors == {"malformed question": 1}
    assert "questions.jsonl:1: the answer 'Maria Bennett' of 'q1' is not" in str(report)


def test_order_and_torn_lines(tmp_path):
    path = tmp_path / questions.QUESTIONS
    with pytest.raises(InputError, match="two questions are called 'q1'"):
        questions.write(tmp_path, [QUESTION, QUESTION])
    assert not path.exists()
    questions.write(tmp_path, [QUESTION, replace(QUESTION, id="q2")])
    one, two = path.read_text().splitlines()
    for lines, message in (
        ((two, one), ":2: the id 'q1' is after 'q2'"),
        ((one, one), ":2: the id 'q1' repeats"),
        ((one, two[:-4]), ":2: torn or not JSON"),
        ((one, "[]"), ":2: expected an object"),
    ):
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(InputError, match=message):
            questions.read(tmp_path, TEXTS)
