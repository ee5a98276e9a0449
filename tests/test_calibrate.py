"""Laws of confidence, and `atat calibrate` from answers to a threshold that `recognize` keeps."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import echo
import numpy as np
import pytest

from atat.apps import calibrate
from atat.apps.calibration_report import Answered, write
from atat.apps.recognizer import Recognizer
from atat.base import checksums
from atat.base.calibration import NAME, Calibration, Fitted
from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_card, model_folder
from atat.scoring import confidence
from atat.speech import audio
from atat.text.evidence import evidence
from atat.text.understanding import Hypothesis, SaidWord

# ------------------------------------------------------------------ the mathematics


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence (N, 2), whether each is right, and the probability that it is."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 2)) * [1.0, 100.0] + [0.0, -500.0]
    sure = 1 / (1 + np.exp(-(1 + 2 * rows[:, 0] - 0.01 * (rows[:, 1] + 500))))
    return rows, rng.random(count) < sure, sure


def test_what_was_drawn_by_logistic_regression_is_fitted_by_it() -> None:
    rows, right, sure = drawn(20000)
    weights, bias = confidence.fit(rows, right)
    assert weights == pytest.approx([2.0, -0.01], rel=0.1)
    found = confidence.confidences_of(rows, weights, bias)
    assert np.abs(found - sure).max() < 0.05
    assert confidence.expected_calibration_error(found, right) < 0.02
    one = Fitted({"a": weights[0], "b": weights[1]}, bias, 0.5)
    assert one.confidence({"a": rows[7, 0], "b": rows[7, 1], "c": 1}) == pytest.approx(found[7])


def test_an_answer_that_counts_twice_is_two_answers() -> None:
    rows, right, _ = drawn(60)
    twice = np.arange(60) % 3 == 0
    weighted = confidence.fit(rows, right, 1.0 + twice)
    repeated = confidence.fit(np.concatenate([rows, rows[twice]]), np.append(right, right[twice]))
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-5)
    assert weighted[1] == pytest.approx(repeated[1], rel=1e-5)


def test_a_handful_that_is_all_right_gives_no_certainty_and_equal_evidence_no_weight() -> None:
    rows = np.array([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]])
    weights, bias = confidence.fit(rows, np.array([False, True, True]))
    found = confidence.confidences_of(rows, weights, bias)
    assert weights[1] == 0 and np.all((0.02 < found) & (found < 0.98))


def test_calibration_error_is_the_distance_from_what_is_right() -> None:
    right = np.array([True] * 3 + [False])
    assert confidence.expected_calibration_error(np.full(4, 0.75), right) == pytest.approx(0)
    assert confidence.expected_calibration_error(np.full(4, 1.0), right) == pytest.approx(0.25)
    mixed = np.array([0.9, 0.9, 0.1, 0.1])
    assert confidence.expected_calibration_error(mixed, np.array([1, 1, 0, 0])) == pytest.approx(
        0.1
    )
    assert [one.answers for one in confidence.reliability(mixed, right)] == [2, 2]


def test_the_curve_goes_from_everything_to_nothing() -> None:
    sure = np.array([0.9, 0.8, 0.8, 0.3])
    right = np.array([True, True, False, False])
    outside = np.array([False, False, False, True])
    points = confidence.curve(sure, right, outside)
    assert [tuple(point)[1:] for point in points] == [(4, 2, 1), (3, 2, 0), (1, 1, 0), (0, 0, 0)]
    assert [point.threshold for point in points][:3] == [0.3, 0.8, 0.9]


@pytest.mark.parametrize("count", [10, 20, 100])
def test_a_threshold_accepts_the_share_that_is_asked_for(count: int) -> None:
    right = [SimpleNamespace(right=True)] * count
    sure = np.arange(1, count + 1) / count
    for accept in (0.9, 0.8, 0.7):
        found = calibrate._threshold(sure, right, accept)  # type: ignore[arg-type]
        assert int((sure >= found).sum()) == round(accept * count)


def test_the_threshold_parts_right_from_wrong() -> None:
    sure = np.array([0.9, 0.8, 0.7, 0.4, 0.3])
    right = np.array([True, True, False, False, False])
    assert confidence.best_threshold(sure, right) == pytest.approx(0.75)
    assert confidence.best_threshold(sure, np.ones(5, bool)) == 0.0


def test_evidence_is_more_for_the_surer_answer() -> None:
    tree, other = "[IN:PLAY [SL:SONG silver river ] ]", "[IN:PLAY [SL:SONG gold ] ]"

    def of(score: float, second: float, words: str) -> dict[str, float]:
        heard = [Hypothesis(words, -0.1, 5)]
        nbest = [Hypothesis(tree, score, 10), Hypothesis(other, second, 10)]
        return evidence(nbest, heard, [SaidWord(word) for word in words.split()])

    sure, unsure = of(-0.1, -2.0, "play silver river"), of(-0.5, -0.5, "play the gold lamp")
    assert all(sure[name] > unsure[name] for name in sure if name != "heard")
    assert sure["agreed"] == 1.0 and sure["used"] == pytest.approx(11 / 15)
    assert unsure["ahead"] == pytest.approx(np.log(0.5)) and unsure["agreed"] == 0.0
    text = [SaidWord(word) for word in "play silver river".split()]
    written = evidence([Hypothesis(tree, -0.1, 10)], said=text)
    assert written["agreed"] == 1.0 and "heard" not in written
    alone = evidence([Hypothesis("no tree", -9e9, 3)])
    assert set(alone) == {"token", "whole", "ahead"} and np.isfinite(list(alone.values())).all()


# ------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dev and test: tones, some of them so noisy that they are misunderstood; hiss: noise alone."""
    root = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(0)
    for part, count in (("dev", 80), ("test", 40), ("hiss", 30)):
        utterances = []
        for number in range(count):
            name = f"a-{part}-{number:03d}"
            low, noise = number % 2, 0.0 if number % 4 < 2 else rng.uniform(0.05, 0.5)
            sound = echo.tone(300 if low else 2000, 0.2, noise, number)
            if part == "hiss":
                sound = rng.normal(0, 0.2, 3200).astype(np.float32) if number else sound * 0
            wav = root / "wavs" / f"{name}.wav"
            audio.save(wav, sound)
            meant = None if part == "hiss" else (echo.LOW if low else echo.HIGH)
            utterances.append(
                Utterance(name, "a", wav=str(wav), semantics=meant, duration=len(sound) / 16000)
            )
        kaldi_dir.write(root / part, utterances)
    echo.save(root / "model")
    return root


@pytest.fixture(scope="module")
def done(root: Path) -> Path:
    """A copy of the model, calibrated."""
    shutil.copytree(root / "model", root / "done")
    calibrate.main(
        f"{root}/done --data {root}/dev --outside {root}/hiss --test {root}/test "
        f"--out {root}/out".split()
    )
    return root / "done"


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_model_stays_one_and_its_answers_have_a_confidence(root: Path, done: Path) -> None:
    model_folder.load(done)  # its digests are right
    recognizer, plain = Recognizer.load(done), Recognizer.load(root / "model")
    clear, noisy = echo.tone(2000), echo.tone(300, noise=0.5)
    assert recognizer(clear).nbest == plain(clear).nbest
    assert recognizer(clear).confidence > 0.9 > recognizer(noisy).confidence
    assert recognizer(clear).understood and recognizer(noisy).cause == "unsure"
    assert plain(clear).confidence is None and plain(noisy).understood
    silent = recognizer(np.zeros(8000, np.float32))
    assert (silent.cause, silent.confidence) == ("silence", None)


def test_the_figures_are_those_of_the_answers(root: Path, done: Path) -> None:
    answers = table(root / "out" / "answers.csv")
    figures = json.loads((root / "out" / "calibrate.json").read_text())
    dev = [one for one in answers if one["part"] == "dev"]
    assert len(answers) == 150 and len(dev) == 110
    hiss = figures["dev"]["groups"][f"{root}/hiss"]
    assert hiss["outside"] and (hiss["n"], hiss["right"]) == (30, 0) and hiss["accepted"] <= 3
    test = figures["test"]
    sure = np.array([float(one["confidence"]) for one in answers if one["part"] == "test"])
    right = np.array([one["right"] == "1" for one in answers if one["part"] == "test"])
    error = confidence.expected_calibration_error(sure, right)
    assert test["ece"] == pytest.approx(error, abs=1e-4)
    assert test["ece"] < min(test["ece_before"].values())
    group = test["groups"][f"{root}/test"]
    assert group["accepted"] == int((sure >= figures["threshold"]).sum())
    assert group["accepted_right"] > 0.9 * group["accepted"] > 0
    curve = [one for one in table(root / "out" / "acceptance.csv") if one["part"] == "dev"]
    assert curve[0]["accepted"] == "110" and curve[-1]["accepted"] == "0"
    shares = [float(one["share_of_right"]) for one in curve]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1
    counts = [int(float(one["answers"])) for one in table(root / "out" / "reliability.csv")]
    assert sum(counts) == 80 + 40


def test_the_card_says_what_is_accepted(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "model", tmp_path / "model")
    model_card.write(tmp_path / "model", model_card.About("Tones"))
    advice = "`atat calibrate` makes it say"
    assert advice in (tmp_path / "model/README.md").read_text()
    calibrate.main(
        f"{tmp_path}/model --data {root}/dev --outside {root}/hiss --test {root}/test "
        f"--out {tmp_path}/out".split()
    )
    card = (tmp_path / "model/README.md").read_text()
    figures = json.loads((tmp_path / "out/calibrate.json").read_text())
    noise = figures["dev"]["groups"][f"{root}/hiss"]
    asked = figures["test"]["groups"][f"{root}/test"]
    folder = root.name  # of paths elsewhere only the end is shown
    assert f"| listen | dev | {folder}/hiss | 30 | not for it | {noise['accepted']} | – |" in card
    assert (
        f"| listen | test | {folder}/test | 40 | {asked['right']} | {asked['accepted']} | "
        f"{asked['accepted_right']} |" in card
    )
    assert f"below a confidence of {figures['threshold']:.2f} (`listen`)" in card
    assert advice not in card and str(root) not in card
    model_folder.load(tmp_path / "model")  # its digests are right
    assert str(tmp_path) not in (tmp_path / "model/calibration.json").read_text()


def test_a_share_of_the_right_answers_may_be_asked_for(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "model", tmp_path / "model")
    base = [f"{tmp_path}/model", "--data", f"{root}/dev", "--out", f"{tmp_path}/out"]
    thresholds = []
    for share in (0.5, 1.0):
        calibrate.main([*base, "--accept", str(share)])
        figures = json.loads((tmp_path / "out/calibrate.json").read_text())
        thresholds.append(figures["threshold"])
        group = figures["dev"]["groups"][f"{root}/dev"]
        assert group["accepted_right"] >= share * group["right"]
    assert thresholds[0] > thresholds[1]


def test_another_task_is_added_and_another_search_begins_anew(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(root / "model", model)
    texts = [
        Utterance(f"a-{n}", "a", text=text, semantics=tree)
        for n, (text, tree) in enumerate(
            [("a beep", echo.HIGH), ("hum", echo.LOW), ("hum", "[IN:NO ]")]
        )
    ]
    kaldi_dir.write(tmp_path / "texts", texts)
    out = ["--out", str(tmp_path / "out")]
    calibrate.main([str(model), "--data", f"{root}/dev", *out])
    calibrate.main([str(model), "--data", str(tmp_path / "texts"), "--task", "read", *out])
    assert set(Calibration.read(model).tasks) == {"listen", "read"}
    assert Recognizer.load(model)(text="hum").confidence is not None
    calibrate.main([str(model), "--data", f"{root}/dev", "--beam", "2", *out])
    found = Calibration.read(model)
    assert set(found.tasks) == {"listen"} and found.search["beam"] == 2
    said = capsys.readouterr().out
    assert said.count("no longer calibrated") == 1
    assert f"{model}: no longer calibrated for read, which was done with another search" in said


def test_the_search_and_the_file_of_an_old_calibration_do_not_matter(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = tmp_path / "model", []
    shutil.copytree(root / "model", model)

    def made(*given: Any, **options: Any) -> echo.EchoRecognizer:
        asked.append(options)
        return echo.EchoRecognizer(*given, **options)

    monkeypatch.setattr(echo.Echo, "recognizer", staticmethod(made))
    monkeypatch.chdir(model)  # and the figures are not written into the model
    old = {"search": {"beam": 4, "bridge": 0.5}, "version": 1, "tasks": {}}
    for content in (json.dumps(old), '{"version": 9}', "{"):
        (model / NAME).write_text(content)
        checksums.write(model)
        calibrate.main([".", "--data", f"{root}/dev"])
        assert "bridge" not in asked[-1] and "bridge" not in Calibration.read(model).search
    assert (tmp_path / "calibration" / "calibrate.json").is_file()
    model_folder.load(model)


def test_of_no_answers_there_is_no_calibration_error(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "model", tmp_path / "model")
    calibrate.main(
        f"{tmp_path}/model --data {root}/dev --test_outside {root}/hiss --accept 1e-9".split()
    )
    assert "test: expected calibration error – of 0 answers" in capsys.readouterr().out
    for path in (tmp_path / "calibration/calibrate.json", tmp_path / "model" / NAME):
        assert "NaN" not in path.read_text()
    figures = json.loads((tmp_path / "calibration/calibrate.json").read_text())
    assert figures["test"]["ece"] is None and figures["test"]["groups"]
    assert figures["dev"]["groups"][f"{root}/dev"]["accepted_right"] >= 1


def answered(right: bool, number: int, evidence: dict[str, float] | None) -> Answered:
    return Answered(f"a-{number}", "dev", "dev", "hum", right, False, evidence)


def test_a_part_whose_rest_tells_nothing_apart_is_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = [answered(number > 0, number, {"token": float(number)}) for number in range(10)]
    assert calibrate._held_out(few[:2], ["token"]) is None
    seen = []
    monkeypatch.setattr(
        confidence, "expected_calibration_error", lambda *judged: seen.append(judged)
    )
    calibrate._held_out(few, ["token"])
    ((sure, right),) = seen  # without those two of which one is the only wrong answer
    assert len(right) == 8 and right.all() and (sure > 0.5).all()


def test_reliability_counts_answers_of_the_model_in_whole_numbers(tmp_path: Path) -> None:
    fitted = Fitted({"token": 0.0}, bias=2.0, threshold=0.5)
    many = [answered(True, number, {"token": 0.0}) for number in range(12345)]
    write(tmp_path, [*many, answered(False, 12345, None)], fitted)
    (row,) = table(tmp_path / "reliability.csv")
    assert (row["answers"], row["right"]) == ("12345", "1")


def test_a_task_that_the_model_has_not_learned_is_named(root: Path, tmp_path: Path) -> None:
    echo.save(tmp_path / "model", tasks=("listen", "write"))
    with pytest.raises(InputError, match="--task read: the model was not trained on it; .*list"):
        calibrate.main([f"{tmp_path}/model", "--data", f"{root}/dev", "--task", "read"])


def test_mistakes_are_sentences(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "model", tmp_path / "model")
    model = str(tmp_path / "model")
    for words, message in (
        (["--data", f"{root}/hiss"], "semantics: no line for a-hiss.*given with --outside"),
        (["--data", f"{root}/dev", "--test", f"{root}/dev"], "both to fit and to test"),
        (["--data", f"{root}/dev", "--accept", "2"], "--accept is 2"),
        (["--data", f"{root}/nowhere"], "nowhere"),
    ):
        with pytest.raises(InputError, match=message):
            calibrate.main([model, *words])
    easy = kaldi_dir.load(root / "dev")[:2]
    kaldi_dir.write(tmp_path / "easy", easy)
    with pytest.raises(InputError, match="all of 2 answers are right: there is nothing to tell"):
        calibrate.main([model, "--data", str(tmp_path / "easy")])
    assert not (tmp_path / "model" / NAME).exists()


def test_a_torn_calibration_is_named(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "torn")
    path = tmp_path / "torn" / NAME
    for content in ('{"version": 1, "tasks": {"listen": {}}, "search": {}}', '{"version": 9}', "{"):
        path.write_text(content)
        checksums.write(tmp_path / "torn")
        with pytest.raises(InputError, match="calibration.json.*calibrate the model again"):
            Recognizer.load(tmp_path / "torn")
