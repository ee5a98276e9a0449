"""Scoring real folders: joined on the utterance id, written as read, compared in pairs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import tables
from atat.scoring import score, score_command
from atat.scoring.decoded_dir import read_transcripts

TREE = "[IN:PLAY play [SL:SONG {} ] ]"
SONGS = {"amy-1": "yellow", "amy-2": "blue monday", "bob-1": "hey jude", "bob-2": "help"}


def make_data(folder: Path, groups: dict[str, str] | None = None) -> Path:
    tables.write_table(folder / "text", {utt: f"play {song}" for utt, song in SONGS.items()})
    trees = {utt: TREE.format(song) for utt, song in SONGS.items()}
    tables.write_table(folder / "semantics", trees)
    tables.write_table(folder / "utt2spk", {utt: utt.split("-")[0] for utt in SONGS})
    if groups:
        tables.write_table(folder / "utt2group", groups)
    return folder


def make_decoded(folder: Path, hypotheses: dict[str, str], task: str = "slu") -> Path:
    tables.write_table(folder / "hyp", hypotheses)
    (folder / "decode.json").write_text(json.dumps({"task": task}))
    return folder


def trees(**wrong: str) -> dict[str, str]:
    return {utt: TREE.format(song) for utt, song in SONGS.items()} | {
        utt.replace("_", "-"): hypothesis for utt, hypothesis in wrong.items()
    }


def test_scores_are_written_with_count_and_interval(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    decoded = make_decoded(tmp_path / "dec", trees(bob_2=TREE.format("whelp")))
    result = score.score(data, decoded)
    assert json.loads((decoded / "score.json").read_text()) == result
    assert (result["task"], result["n"], result["speakers"]) == ("slu", 4, 2)
    figure = result["metrics"]["em_hyp"]
    assert (figure["value"], figure["n"]) == (75, 4)
    assert figure["low"] <= 75 <= figure["high"]
    assert result["metrics"]["semer"]["numerator"] == 1
    assert result["metrics"]["semer"]["denominator"] == 8
    assert "commit" in result["provenance"]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    decoded = make_decoded(tmp_path / "dec", trees(amy_1=""))
    score.score(data, decoded)
    scored = score.load_scored(decoded)
    assert scored == score.score_utterances(data, decoded, "semantics")
    assert [one.utt for one in scored] == sorted(SONGS)
    assert scored[0].counts["semer"] == (2, 2) and scored[0].hyp == ""


def test_groups_are_scored_apart(tmp_path: Path) -> None:
    groups = {utt: "seen" if utt.startswith("amy") else "unseen" for utt in SONGS}
    data = make_data(tmp_path / "data", groups)
    decoded = make_decoded(tmp_path / "dec", trees(bob_1=""))
    found = score.score(data, decoded)["groups"]
    assert {name: one["metrics"]["em_hyp"]["value"] for name, one in found.items()} == {
        "seen": 100,
        "unseen": 50,
    }
    assert {one["n"] for one in found.values()} == {2}
    assert found["seen"]["resampled"] == "utterances", "of one speaker no interval can be drawn"


@pytest.mark.parametrize("task", ["asr", "mlm"])
def test_text_is_scored_by_words(tmp_path: Path, task: str) -> None:
    data = make_data(tmp_path / "data")
    texts = {utt: f"play {song}" for utt, song in SONGS.items()} | {"amy-1": "play", "bob-1": ""}
    result = score.score(data, make_decoded(tmp_path / "dec", texts, task))
    assert set(result["metrics"]) == {"em_full", "wer", "cer"}
    assert result["metrics"]["wer"]["numerator"] == 1 + 3
    assert result["metrics"]["wer"]["denominator"] == 10


def test_ids_that_do_not_meet_are_named(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    few = trees()
    del few["bob-1"]
    with pytest.raises(InputError, match=r"hyp: 1 of 4 utterances .* are missing: bob-1"):
        score.score(data, make_decoded(tmp_path / "few", few))
    many = trees(cat_1="")
    with pytest.raises(InputError, match=r"semantics: 1 of 5 utterances .* missing: cat-1"):
        score.score(data, make_decoded(tmp_path / "many", many))


def test_faults_of_the_data_dir_name_the_file(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", {"amy-1": "seen"})
    decoded = make_decoded(tmp_path / "dec", trees())
    with pytest.raises(InputError, match=r"utt2group: 3 of 4 .*amy-2"):
        score.score(data, decoded)
    (data / "utt2group").unlink()
    tables.write_table(data / "semantics", trees(amy_2="[IN:PLAY play"))
    with pytest.raises(InputError, match=r"semantics: utterance amy-2: .*missing"):
        score.score(data, decoded)
    (data / "semantics").write_text("")
    (decoded / "hyp").write_text("")
    with pytest.raises(InputError, match="nothing to score"):
        score.score(data, decoded)


def test_options_that_would_change_nothing_are_refused(tmp_path: Path, capsys) -> None:
    data = make_data(tmp_path / "data")
    texts = {utt: f"play {song}" for utt, song in SONGS.items()}
    decoded = make_decoded(tmp_path / "dec", texts, "asr")
    options = ["--data", str(data), "--decoded", str(decoded)]
    with pytest.raises(InputError, match="SLU-F1 is a measure of trees.*--slu_f1"):
        score_command.main([*options, "--slu_f1"])
    score_command.main(options)
    for more in (options[:2], options[2:], ["--task", "asr"], ["--slu_f1"]):
        with pytest.raises(SystemExit):
            score_command.main([*more, "compare", str(decoded), str(decoded)])
        assert "compare A B takes no --data" in capsys.readouterr().err


def test_the_task_is_asked_for_when_unknown(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    decoded = make_decoded(tmp_path / "dec", trees())
    (decoded / "decode.json").unlink()
    with pytest.raises(InputError, match="--task"):
        score.score(data, decoded)
    assert score.score(data, decoded, task="nlu")["metrics"]["em_full"]["value"] == 100


def test_scores_of_other_hypotheses_are_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    decoded = make_decoded(tmp_path / "dec", trees())
    with pytest.raises(InputError, match="score first"):
        score.load_scored(decoded)
    score.score(data, decoded)
    make_decoded(decoded, trees(amy_1=""))
    with pytest.raises(InputError, match="earlier"):
        score.load_scored(decoded)


def test_scores_by_another_definition_are_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    decoded = make_decoded(tmp_path / "dec", trees())
    score.score(data, decoded)
    summary = json.loads((decoded / "score.json").read_text())
    del summary["metrics_version"]  # as scores were written before SemER changed
    (decoded / "score.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="another definition .*atat score --data"):
        score.load_scored(decoded)


def test_compare_pairs_the_utterances(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    one = make_decoded(tmp_path / "one", trees())
    two = make_decoded(tmp_path / "two", trees(amy_1="", bob_1=""), task="nlu")
    for decoded in (one, two):
        score.score(data, decoded)
    found = score.compare(one, two, ["em_hyp"])
    assert list(found) == ["em_hyp"]
    assert (found["em_hyp"].first, found["em_hyp"].second) == (100, 50)
    assert found["em_hyp"].difference.value == 50
    assert score.compare(two, one)["semer"].difference.value == 50
    with pytest.raises(InputError, match="wer"):
        score.compare(one, two, ["wer"])


def test_compare_refuses_references_that_were_corrected_in_between(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    one = make_decoded(tmp_path / "one", trees())
    two = make_decoded(tmp_path / "two", trees())
    score.score(data, one)
    corrected = dict(tables.read_table(data / "semantics"))
    corrected["bob-1"] = "[IN:STOP stop ]"
    tables.write_table(data / "semantics", corrected)
    score.score(data, two)
    with pytest.raises(InputError, match="other references, of bob-1 .* score both again"):
        score.compare(one, two)
    score.score(data, one)
    assert score.compare(one, two)["em_hyp"].difference.value == 0
    # What another data dir of the same utterances has for a reference may be written otherwise.
    score.score(make_data(tmp_path / "as_heard"), two)
    assert score.compare(one, two)["em_hyp"].difference.value != 0


def test_compare_refuses_other_test_sets(tmp_path: Path) -> None:
    one = make_decoded(tmp_path / "one", trees())
    score.score(make_data(tmp_path / "data"), one)
    other = {utt: tree for utt, tree in trees().items() if utt != "bob-2"}
    data = make_data(tmp_path / "less")
    tables.write_table(data / "semantics", other)
    two = make_decoded(tmp_path / "two", other)
    score.score(data, two)
    with pytest.raises(InputError, match="bob-2"):
        score.compare(one, two)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(tmp_path / "data", dict.fromkeys(SONGS, "seen"))
    decoded = make_decoded(tmp_path / "dec", trees())
    score_command.main(["--data", str(data), "--decoded", str(decoded), "--slu_f1"])
    shown = capsys.readouterr().out
    assert "n = 4, 2 speakers" in shown and "group seen" in shown and "slu_f1" in shown
    score_command.main(["compare", str(decoded), str(decoded), "--metric", "em_full", "semer"])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "atat",
        "score",
        "--data",
        str(tmp_path),
        "--decoded",
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


TORN = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "not UTF-8": lambda whole: whole[:2] + b"\xff" + whole[3:],
    "nested": lambda whole: b"[" * 100_000,
    "a list": lambda whole: b"[]",
}


def tear(path: Path, how: str) -> None:
    path.write_bytes(TORN[how](path.read_bytes()))


@pytest.mark.parametrize("how", TORN)
def test_a_torn_description_of_a_decoding_is_named(tmp_path: Path, how: str) -> None:
    data = make_data(tmp_path / "data")
    folder = make_decoded(tmp_path / "dec", trees())
    tear(folder / "decode.json", how)
    with pytest.raises(InputError, match=r"dec/decode\.json.*run the decoding again"):
        score.score(data, folder)
    with pytest.raises(InputError, match=r"dec/decode\.json.*run the decoding again"):
        read_transcripts(folder)
    assert score.score(data, folder, task="slu")["n"] == 4, "the hypotheses are whole"


@pytest.mark.parametrize("how", ["cut", "empty", "zeros", "not UTF-8"])
def test_torn_hypotheses_are_named(tmp_path: Path, how: str) -> None:
    data = make_data(tmp_path / "data")
    folder = make_decoded(tmp_path / "dec", trees())
    tear(folder / "hyp", how)
    with pytest.raises(InputError, match=r"dec/hyp.*decod[a-z]+ .*again"):
        score.score(data, folder)


@pytest.mark.parametrize("how", TORN)
@pytest.mark.parametrize("name", ["score.json", "per_utt.jsonl"])
def test_torn_scores_are_named(tmp_path: Path, name: str, how: str) -> None:
    data = make_data(tmp_path / "data")
    folder = make_decoded(tmp_path / "dec", trees())
    score.score(data, folder)
    tear(folder / name, how)
    with pytest.raises(InputError, match=rf"dec/{name}.*score first: atat score"):
        score.load_scored(folder)


def test_scores_that_lost_whole_lines_are_named(tmp_path: Path) -> None:
    folder = make_decoded(tmp_path / "dec", trees())
    score.score(make_data(tmp_path / "data"), folder)
    path = folder / "per_utt.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(InputError, match=r"per_utt\.jsonl: 3 lines, .* 4 utterances; score first"):
        score.load_scored(folder)
