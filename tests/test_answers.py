"""Scores of answers in words and in time: SQuAD's rules, examples by hand, folders, tables."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from atat.apps.report import experiment, page
from atat.base import config
from atat.base.errors import InputError
from atat.datadir import questions, tables
from atat.datadir.questions import Answer, Prediction, Question, Span
from atat.scoring import answers, results, score, spans
from atat.scoring.results_settings import Report


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Denver Broncos.", "denver broncos"),
        ("an A-team, the best", "ateam best"),
        ("a", ""),
        ("Santa Clara,\tCalifornia!", "santa clara california"),
        ("theatre another anthem", "theatre another anthem"),
        ("U.S. $5.00", "us 500"),
        ("it's “fine”", "its “fine”"),  # SQuAD removes ASCII punctuation only
    ],
)
def test_squads_normalisation(text, plain):
    assert spans.plain(text) == plain


@pytest.mark.parametrize(
    ("answer", "right", "em", "f1"),
    [
        ("denver broncos", "Denver Broncos", 1, 1.0),
        ("the denver broncos", "Denver Broncos!", 1, 1.0),
        ("champion denver broncos", "denver broncos", 0, 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("denver denver", "denver broncos", 0, 0.5),
        ("carolina", "denver broncos", 0, 0.0),
        ("", "denver", 0, 0.0),
        ("the", "a", 1, 0.0),  # nothing is left of both: equal, but no word is shared
    ],
)
def test_words_by_hand(answer, right, em, f1):
    assert spans.exact_match(answer, right) == em
    assert spans.word_f1(answer, right) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "right", "f1", "aos"),
    [
        ((1.0, 2.0), (1.0, 2.0), 1.0, 1.0),
        ((1.0, 2.0), (1.5, 2.5), 0.5, 0.5 / 1.5),
        ((0.0, 4.0), (1.0, 2.0), 2 * 0.25 * 1 / 1.25, 0.25),
        ((0.0, 1.0), (1.0, 2.0), 0.0, 0.0),
        ((3.0, 4.0), (1.0, 2.0), 0.0, 0.0),
        (None, (1.0, 2.0), 0.0, 0.0),
    ],
)
def test_time_by_hand(answer, right, f1, aos):
    assert spans.time_f1(answer, right) == pytest.approx(f1)
    assert spans.time_overlap(answer, right) == pytest.approx(aos)
    if answer:
        assert spans.time_f1(right, answer) == pytest.approx(f1)  # both are symmetric


def test_the_best_of_several_answers_counts_in_each_measure():
    several = (
        Answer("fifty", 0, 0, 1.0, 2.0),
        Answer("50 years", 0, 1, 1.0, 3.0),
        Answer("half a century"),
    )
    question = Question("q", "u", "how old", several)
    found = spans.counts(question, Span("fifty years", 0, 1, 1.0, 2.0))
    assert found["answer_em"] == (1, 1)  # "50 years" as it is spoken
    assert found["answer_f1"] == (1.0, 1)
    assert found["frame_f1"] == (1.0, 1) and found["aos"] == (1.0, 1)
    assert spans.counts(question, Span())["frame_f1"] == (0.0, 1)
    untimed = replace(question, answers=several[2:])
    assert spans.counts(untimed, Span("century", 2, 2, 0.0, 1.0)) == {
        "answer_em": (0, 1),
        "answer_f1": (pytest.approx(2 / 3), 1),  # "half century": the article is gone
        "frame_f1": (0.0, 0),
        "aos": (0.0, 0),
    }


TEXTS = {"p1": "she wrote winter light", "p2": "he is from dublin", "p3": "ten of them"}
HEARD = {"p1": "she wrote winter light", "p2": "he is from double in", "p3": "ten of"}


def made(tmp_path, lost=True):
    """Data dirs of four questions, and answers to them: two are right, one is near."""
    data, spoken, decoded = tmp_path / "test", tmp_path / "test_reference", tmp_path / "decode"
    asked = [
        Question("q1", "p1", "what", (Answer("winter light", 2, 3, 1.0, 2.0),)),
        Question("q2", "p2", "where", (Answer("Dublin", None, None, 1.0, 2.0),), lost),
        Question("q3", "p2", "who", (Answer("he", 0, 0, 0.0, 0.4),)),
        Question("q4", "p3", "how many", (Answer("10", 0, 0, 0.0, 0.5),)),
    ]
    given = [
        Prediction("q1", Span("light", 3, 3, 1.5, 2.0, -1.0)),
        Prediction("q2", Span("double in", 3, 4, 1.0, 2.0, -1.0)),
        Prediction("q3", Span("he", 0, 0, 0.0, 0.4, -1.0)),
        Prediction("q4", Span()),
    ]
    tables.write_table(data / "text", HEARD)
    tables.write_table(spoken / "text", TEXTS)
    questions.write(data, asked)
    questions.write_predictions(decoded, given)
    (decoded / "decode.json").write_text('{"task": "answer", "target": "text", "model": "m"}')
    return data, spoken, decoded


def test_folders_by_kind_of_question(tmp_path):
    data, spoken, decoded = made(tmp_path)
    found = answers.score_answers(data, decoded, spoken)
    value = {
        (name, metric): figure["value"]
        for name, one in found.items()
        for metric, figure in one["metrics"].items()
    }
    assert {name: one["n"] for name, one in found.items()} == {
        "total": 4,
        "found": 3,
        "lost": 1,
        "wer_00_10": 1,
        "wer_30_40": 1,  # "them" of three words
        "wer_50": 2,  # "dublin" became two words of four
    }
    assert value["total", "answer_em"] == 25
    assert value["found", "answer_f1"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert value["lost", "answer_em"] == 0 and value["lost", "frame_f1"] == 100
    assert value["total", "aos"] == pytest.approx(100 * (0.5 + 1 + 1 + 0) / 4)
    assert found["total"]["resampled"] == "speakers" and found["total"]["speakers"] == 3
    lines = score.load_scored(decoded / "found")
    assert [one.utt for one in lines] == ["q1", "q3", "q4"] and lines[0].ref == "winter light"
    assert "target" not in json.loads((decoded / "lost" / "decode.json").read_text())


def test_a_version_of_the_test_may_have_fewer_paragraphs_and_none_of_its_own(
    tmp_path: Path,
) -> None:
    data, spoken, decoded = made(tmp_path)
    found = answers.score_answers(data, decoded, spoken)
    tables.write_table(spoken / "text", {**TEXTS, "p4": "of it nothing is asked"})
    again = answers.score_answers(data, decoded, spoken)
    assert {name: one["n"] for name, one in again.items()} == {
        name: one["n"] for name, one in found.items()
    }
    tables.write_table(spoken / "text", {key: TEXTS[key] for key in ("p1", "p2")})
    with pytest.raises(InputError, match=r"test_reference/text.*p3") as refused:
        answers.score_answers(data, decoded, spoken)
    assert "--spoken is" in str(refused.value) and "decode the" not in str(refused.value)


def test_scored_again_leaves_no_folder_of_before(tmp_path):
    data, spoken, decoded = made(tmp_path)
    answers.score_answers(data, decoded, spoken)
    made(tmp_path, lost=False)
    (decoded / "wer_own").mkdir()
    answers.main(
        ["--data", str(data), "--decoded", str(decoded), "--spoken", str(spoken)]
        + ["--wer_edges", "45"]
    )
    names = sorted(path.name for path in decoded.iterdir() if path.is_dir())
    assert names == ["found", "total", "wer_00_45", "wer_45", "wer_own"]


def test_answers_of_other_questions_are_refused(tmp_path):
    data, _, decoded = made(tmp_path)
    questions.write_predictions(decoded, questions.read_predictions(decoded)[:3])
    with pytest.raises(InputError, match="q4"):
        answers.score_answers(data, decoded)


def test_bounds_of_word_error_rates_rise_from_above_zero_and_need_the_words_spoken(
    tmp_path, capsys
):
    data, spoken, decoded = made(tmp_path)
    options = ["--data", str(data), "--decoded", str(decoded)]
    for edges in (["20", "10"], ["0", "40"]):
        with pytest.raises(InputError, match="rising whole numbers above 0"):
            answers.main([*options, "--spoken", str(spoken), "--wer_edges", *edges])
    with pytest.raises(SystemExit):
        answers.main([*options, "--wer_edges", "20", "40"])
    assert "need --spoken" in capsys.readouterr().err


def test_rows_come_out_of_the_results_table(tmp_path):
    for seed in (1, 2):
        data, spoken, decoded = made(tmp_path / f"seed{seed}")
        answers.score_answers(data, decoded, spoken)
    conf = {
        "title": "Answers",
        "tables": [
            {
                "title": "By loss",
                "items": "questions",
                "clusters": "paragraphs",
                "metrics": ["frame_f1", "aos"],
                "conditions": {"Spoken SQuAD": "found", "lost": "lost"},
                "rows": [
                    {"name": "d", "decoded": f"{tmp_path}/seed1/decode/{{condition}}"},
                    {
                        "name": "e",
                        "decoded": f"{tmp_path}/seed*/decode/{{condition}}",
                        "baseline": "d",
                        "paper": {"frame_f1@lost": 37.31},
                    },
                ],
            }
        ],
    }
    report = config.from_dict(conf, Report, "test")
    text = results.table_section(report.tables[0])
    assert "Spoken SQuAD: 3 questions, 3 paragraphs; lost: 1 questions" in text
    assert "| 100.00 " in text and "37.31" in text and "e - d" in text


def test_parts_of_an_answering_are_told_apart_on_the_page_of_pictures(tmp_path):
    for seed in (1, 2):
        data, spoken, decoded = made(tmp_path / f"made{seed}")
        answers.score_answers(data, decoded, spoken)
        shutil.copytree(decoded, tmp_path / "exp" / "e_and_d" / f"seed{seed}" / "answer_test")
    found = experiment.look([tmp_path / "exp"])
    assert [one.name for one in found.experiments] == ["e_and_d"]
    names = {one.name for one in found.decodings}
    assert "answer_test/lost" in names and len(names) == 6
    assert all(one.answers and not one.target for one in found.decodings)
    table = page._scores(found.decodings[:6], found.experiments[0])
    assert table.header[2:] == ("EM", "F1", "Frame F1", "AOS")
