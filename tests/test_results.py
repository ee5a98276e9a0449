"""RESULTS.md from folders as train, decode and score leave them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from atat.base import config, provenance
from atat.base.errors import InputError
from atat.base.provenance import outside_shortened
from atat.datadir import tables
from atat.scoring import results, results_runs, score
from atat.scoring.bootstrap import Comparison, Interval

UTTERANCES = [f"spk{i % 4}-{i:02d}" for i in range(24)]
TREE = "[IN:PLAY play [SL:SONG {} ] ]"


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe's folder as the working directory, with a test set."""
    monkeypatch.chdir(tmp_path)
    make_data("data/test", UTTERANCES)
    return tmp_path


def make_data(folder: str, utterances: list[str]) -> None:
    data = Path(folder)
    utterances = sorted(utterances)
    tables.write_table(data / "semantics", {utt: TREE.format(utt) for utt in utterances})
    tables.write_table(data / "utt2spk", {utt: utt.split("-")[0] for utt in utterances})
    groups = {utt: "seen" if int(utt[-2:]) % 2 else "unseen" for utt in utterances}
    tables.write_table(data / "utt2group", groups)


def decode(model: str, wrong: int, *, name: str = "decode_test", data: str = "data/test") -> None:
    """A model's output on a data dir with its first `wrong` utterances wrong, and scored."""
    folder = Path(model, name)
    trees = tables.read_table(Path(data, "semantics"))
    for utt in list(trees)[:wrong]:
        trees[utt] = TREE.format("something else")
    tables.write_table(folder / "hyp", trees)
    made = {
        "task": "slu",
        "model": f"{model}/model",
        "beam": 4,
        "well_formed": True,
        "precision": "bf16",
        "audio_seconds": 100.0,
        "wall_seconds": 25.0,
        "options": {"precision": "bf16"},
        "provenance": {
            "hardware": "another processor, 4 cores",
            "command": f"atat decode --model {model}/model --out {folder}",
        },
    }
    (folder / "decode.json").write_text(json.dumps(made))
    score.score(data, folder)


def train(model: str, *, init: str = "", seed: int = 1, finished: bool = True) -> None:
    start = f" --init {init}/model" if init else ""
    made = {
        "steps": 12000,
        "wall_seconds": 7200.0,
        "parameters": 3012345,
        "seed": seed,
        "precision": "fp32",
        "audio_seconds": 360000.0,
        "finished": finished,
        "provenance": {
            "commit": "abc1234",
            "hardware": "a processor, 2 cores",
            "date": "2025-01-02T03:04:05+00:00",
            "command": f"atat train --config conf/m.yaml --out {model}{start}",
        },
    }
    Path(model).mkdir(parents=True, exist_ok=True)
    Path(model, "train.json").write_text(json.dumps(made))
    settings = {"init": {"model": f"{init}/model" if init else None}, "precision": "fp32"}
    Path(model, "config.yaml").write_text(yaml.safe_dump(settings))


def table(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"title": "Music", "metrics": ["em_hyp", "semer"], "rows": rows} | more


def write(*tables: dict[str, Any], note: str = "", **more: Any) -> str:
    """RESULTS.md by the command line, from a configuration of these tables."""
    values = {"title": "Results of a test", "tables": list(tables)} | more
    Path("results.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    results.main(["--config", "results.yaml", "--out", "RESULTS.md", "--title_note", note])
    return Path("RESULTS.md").read_text(encoding="utf-8")


def cells(text: str, name: str) -> list[str]:
    """The first table line that starts with this cell."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    assert lines, f"no row {name!r} in\n{text}"
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_figures_are_those_of_the_scorer() -> None:
    decode("exp/e2e", wrong=6)
    figures = json.loads(Path("exp/e2e/decode_test/score.json").read_text())["metrics"]
    text = write(table([{"name": "E2E", "decoded": "exp/e2e/decode_test"}]))
    expected = [
        f"{f['value']:.2f} [{f['low']:.2f}, {f['high']:.2f}]"
        for f in (figures["em_hyp"], figures["semer"])
    ]
    assert cells(text, "E2E") == ["E2E", "24", "1", *expected]
    assert cells(text, "")[1:] == ["n", "runs", "EM hyp", "SemER"]
    assert "24 utterances, 4 speakers" in text
    assert "higher is better" in text and "lower is better" in text


def test_the_same_folders_give_the_same_page() -> None:
    decode("exp/e2e", wrong=6)
    rows = [{"name": "E2E", "decoded": "exp/e2e/decode_test"}]
    assert write(table(rows)) == write(table(rows))


def test_what_is_not_there_says_so() -> None:
    text = write(
        table([{"name": "E2E", "decoded": "exp/e2e/decode_test", "paper": {"em_hyp": 91.7}}]),
        include=["exp/alignment.md"],
    )
    assert cells(text, "E2E")[1:] == ["–", "–", "not run", "not run"]
    assert cells(text, "· paper")[3:] == ["91.70", "–"]
    assert "`exp/alignment.md`: not run" in text
    Path("exp/e2e/decode_test").mkdir(parents=True)
    text = write(table([{"name": "E2E", "decoded": "exp/e2e/decode_test"}]))
    assert "unfinished: `exp/e2e/decode_test`" in text


def test_seeds_make_one_row_with_their_spread() -> None:
    for seed, wrong in ((1, 6), (2, 9), (10, 12)):
        train(f"exp/e2e/seed{seed}", seed=seed)
        decode(f"exp/e2e/seed{seed}", wrong)
    text = write(table([{"name": "E2E", "decoded": "exp/e2e/seed*/decode_test"}]))
    mean, plus, spread, *interval = cells(text, "E2E")[3].split()
    assert (mean, plus, spread, cells(text, "E2E")[2]) == ("62.50", "±", "12.50", "3")
    assert len(interval) == 2
    details = [line for line in text.splitlines() if line.startswith("| EM hyp ")][0]
    found = [cell.strip() for cell in details.strip("|").split("|")]
    assert found == ["EM hyp", "62.50", "12.50", "50.00", "75.00", "75.00", "62.50", "50.00"]
    assert "run 1 " in text and "run 10" in text, "in the order of numbers, not of letters"


def test_folds_are_one_test_set() -> None:
    for seed in (1, 2):
        for fold in range(3):
            make_data(f"data/fold{fold}", UTTERANCES[fold::3])
            decode(f"exp/cv/seed{seed}/fold{fold}", wrong=fold * seed, data=f"data/fold{fold}")
    row = {"name": "CV", "decoded": "exp/cv/seed{seed}/fold*/decode_test", "pool": 3}
    text = write(table([row], data="data/fold*"))
    assert cells(text, "CV")[1:3] == ["24", "2 x 3 folds"]
    assert cells(text, "CV")[3].startswith("81.25 ± 8.84 [")  # 21 and 18 of 24
    Path("exp/cv/seed2/fold1/decode_test/hyp").unlink()
    text = write(table([row]))
    assert cells(text, "CV")[2] == "1 x 3 folds", "part of the folds is another test"
    assert "unfinished: `exp/cv/seed2/fold1/decode_test`" in text
    shutil.rmtree("exp/cv/seed2/fold1")
    text = write(table([row]))
    assert cells(text, "CV")[2] == "1 x 3 folds", "also where the rest was never begun"
    assert text.count("unfinished: ") == 1
    assert "unfinished: `exp/cv/seed2/fold*/decode_test`" in text
    shutil.rmtree("exp/cv/seed1/fold0")
    assert cells(write(table([row])), "CV")[3] == "not run"
    shutil.copytree("exp/cv/seed2/fold0", "exp/cv/seed1/fold0")
    with pytest.raises(InputError, match="3 folds, expected 2"):
        write(table([{**row, "pool": 2}]))


def test_a_question_mark_tells_seeds_apart_and_a_bracket_is_itself() -> None:
    for seed in (1, 2):
        decode(f"exp/[a] e2e/seed{seed}", wrong=seed)
    row = {"name": "E2E", "decoded": "exp/[a] e2e/seed?/decode_test"}
    text = write(table([row]))
    assert cells(text, "E2E")[2] == "2" and "run 1 " in text and "run 2 " in text
    fold = {"name": "CV", "decoded": "exp/[a] e2e/seed?/decode_test", "pool": 2}
    with pytest.raises(InputError, match="also in another fold"):
        write(table([fold]))
    none = table([row | {"decoded": "exp/[a] e2e/seed[12]/decode_test"}])
    assert cells(write(none), "E2E")[3] == "not run"


def test_a_figure_that_one_seed_lacks_is_not_that_of_the_others() -> None:
    decode("exp/e2e/seed1", wrong=6)
    decode("exp/e2e/seed2", wrong=6)
    folder = Path("exp/e2e/seed2/decode_test")
    tables.write_table(folder / "hyp", dict.fromkeys(UTTERANCES, "no tree"))
    score.score("data/test", folder)  # no bracket, so no precision of brackets
    first = json.loads(Path("exp/e2e/seed1/decode_test/score.json").read_text())
    known = f"{first['metrics']['bracket_p']['value']:.2f}"
    rows = [{"name": "E2E", "decoded": "exp/e2e/seed*/decode_test"}]
    text = write(table(rows, metrics=["bracket_p"]))
    assert cells(text, "E2E")[3] == "n/a"
    assert cells(text, "Bracket P")[1:] == ["n/a", "n/a", "n/a", "n/a", known, "n/a"]
    assert results_runs.find(rows[0]["decoded"]).figure("bracket_p").spread is None


def test_the_spread_of_a_single_cross_validation_is_that_of_its_folds() -> None:
    for fold in range(3):
        make_data(f"data/fold{fold}", UTTERANCES[fold::3])
        decode(f"exp/cv/fold{fold}", wrong=fold, data=f"data/fold{fold}")
    row = {"name": "CV", "decoded": "exp/cv/fold*/decode_test", "pool": 3}
    text = write(table([row], data="data/fold*"))
    assert cells(text, "CV")[1:3] == ["24", "1 x 3 folds"]
    assert cells(text, "CV")[3].startswith("87.50 ± 12.50 [")  # 8, 7 and 6 of 8 each


def test_folds_must_not_share_utterances() -> None:
    for fold in range(2):
        decode(f"exp/cv/fold{fold}", wrong=0)
    row = {"name": "CV", "decoded": "exp/cv/fold*/decode_test", "pool": 2}
    with pytest.raises(InputError, match="spk0-00 is also in another fold"):
        write(table([row]))


def test_groups_stand_below_their_row() -> None:
    decode("exp/e2e", wrong=0)
    text = write(table([{"name": "E2E", "decoded": "exp/e2e/decode_test"}], groups=True))
    assert cells(text, "· seen")[1] == cells(text, "· unseen")[1] == "12"


def test_runs_that_were_scored_with_other_groups_are_refused() -> None:
    row = {"name": "E2E", "decoded": "exp/e2e/seed*/decode_test"}
    for seed in (1, 2):
        decode(f"exp/e2e/seed{seed}", wrong=0)
        tables.write_table("data/test/utt2group", dict.fromkeys(UTTERANCES, "seen"))
    with pytest.raises(InputError, match="seed1.* and .*seed2.*: scored with other groups"):
        write(table([row], groups=True))


def test_a_row_is_compared_with_its_baseline() -> None:
    decode("exp/e2e", wrong=8)
    decode("exp/atat", wrong=2)
    rows = [
        {"name": "E2E", "decoded": "exp/e2e/decode_test", "paper": {"em_hyp": 91.7}},
        {
            "name": "AT-AT",
            "decoded": "exp/atat/decode_test",
            "baseline": "E2E",
            "paper": {"em_hyp": 99.5},
            "paper_difference": {"semer": -1.45},
        },
    ]
    text = write(table(rows))
    ours = cells(text, "AT-AT - E2E")[1]
    expected = score.compare("exp/atat/decode_test", "exp/e2e/decode_test", ["em_hyp"])["em_hyp"]
    assert ours == results.comparison_text(expected)
    assert ours.startswith("+25.00 [")
    assert "| +7.80" in text and "| -1.45 " in text
    assert "-1.45 to its baseline" in text


def test_other_peoples_figures_are_marked() -> None:
    published = {"em_hyp": 73.5, "semer": "no convergence"}
    text = write(table([{"name": "Watson", "published": published, "source": "their README"}]))
    assert cells(text, "Watson (published)")[3:] == ["73.50", "no convergence"]
    assert "- Watson: published in their README" in text
    assert "<details>" not in text


def test_conditions_are_columns() -> None:
    make_data("data/noisy", UTTERANCES)
    decode("exp/e2e", wrong=0, name="decode_test")
    decode("exp/e2e", wrong=6, name="decode_noisy", data="data/noisy")
    rows = [
        {"name": "E2E", "decoded": "exp/e2e/decode_{condition}", "paper": {"em_hyp@6 dB": 50}},
        {"name": "AT-AT", "decoded": "exp/atat/decode_{condition}", "baseline": "E2E"},
    ]
    conditions = {"clean": "test", "6 dB": "noisy"}
    text = write(table(rows, metrics=["em_hyp"], conditions=conditions, data="data/{condition}"))
    assert cells(text, "")[3:] == ["EM hyp, clean", "EM hyp, 6 dB"]
    assert cells(text, "E2E")[3].startswith("100.00 [") and cells(text, "E2E")[4][:5] == "75.00"
    assert cells(text, "· paper")[3:] == ["–", "50.00"]
    assert cells(text, "AT-AT - E2E")[1:] == ["not run", "not run"]


def test_details_say_how_a_row_was_made() -> None:
    train("exp/pre")
    train("exp/ft", init="exp/pre", finished=False)
    decode("exp/ft", wrong=1)
    text = write(table([{"name": "FT", "decoded": "exp/ft/decode_test"}]))
    for said in (
        "- trained `exp/pre`: 3,012,345 parameters, 12,000 steps, 100.0 h of audio seen, "
        "2.0 h of wall time, seed 1, fp32, config `conf/m.yaml`, commit abc1234, a processor, "
        "2 cores, 2025-01-02",
        "**training not finished**",
        "beam 4, well-formed trees only, bf16, 25 s of wall time, 0.250 s per second of audio",
        "atat train --config conf/m.yaml --out exp/ft --init exp/pre/model",
        "atat decode --model exp/ft/model --out exp/ft/decode_test",
    ):
        assert said in text, text
    commands = text.split("```")[1].splitlines()
    assert "exp/pre" in commands[1] and "--init exp/pre/model" in commands[2], "in order"


def test_trainings_may_be_named() -> None:
    train("exp/crf")
    decode("exp/pipeline", wrong=1)
    run = results_runs.find("exp/pipeline/decode_test").runs[0]
    assert results_runs.trainings(run) == []
    assert [t.folder for t in results_runs.trainings(run, "exp/c*")] == [Path("exp/crf")]


def test_banner_and_included_files(recipe: Path) -> None:
    (recipe / "alignment.md").write_text("## Boundary errors\n\n| a |\n|---|\n| 1 |\n")
    text = write(note="miniature", intro="About *this*.", include=["alignment.md"])
    assert text.startswith("# Results of a test\n\n> **miniature**\n\nAbout *this*.\n\n")
    assert "## Boundary errors\n\n| a |" in text


def test_tables_are_aligned_as_plain_text() -> None:
    decode("exp/e2e", wrong=6)
    rows = [{"name": "E2E | all", "decoded": "exp/e2e/decode_test", "paper": {"semer": 1}}]
    lines = [line for line in write(table(rows)).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert "E2E \\| all" in lines[2]


def test_scores_on_other_data_are_refused() -> None:
    decode("exp/e2e", wrong=0)
    rows = [{"name": "E2E", "decoded": "exp/e2e/decode_test"}]
    with pytest.raises(InputError, match="scored on data/test, the table is about data/dev"):
        write(table(rows, data="data/dev"))
    with pytest.raises(InputError, match="no metric 'wer'"):
        write(table(rows, metrics=["wer"]))
    tables.write_table(Path("exp/e2e/decode_test/hyp"), dict.fromkeys(UTTERANCES, ""))
    with pytest.raises(InputError, match="score first"):
        write(table(rows))


def test_seeds_on_other_utterances_are_refused() -> None:
    decode("exp/seed1", wrong=0)
    make_data("data/less", UTTERANCES[:-1])
    decode("exp/seed2", wrong=0, data="data/less")
    with pytest.raises(InputError, match=UTTERANCES[-1]):
        write(table([{"name": "E2E", "decoded": "exp/seed*/decode_test"}]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tabels": []}, "unknown key `tabels`; did you mean `tables`"),
        ({"tables": [table([{"name": "a", "decode": "x"}])]}, "unknown key .*`?decode`"),
        ({"tables": [table([{"name": "a"}], metrics=["emm"])]}, "unknown metric 'emm'"),
        ({"tables": [table([{"name": "a", "paper": {"wer": 1}}])]}, "'wer', which is not a column"),
        ({"tables": [table([{"name": "a", "paper": {"semer": [1]}}])]}, "number or text"),
        ({"tables": [table([{"name": "a", "baseline": "b"}])]}, "'b' is not a row"),
        ({"tables": [table([{"name": "a"}, {"name": "a"}])]}, "is used twice"),
        ({"tables": [table([{"name": "a", "published": {"semer": 1}}])]}, "source"),
        ({"tables": [table([{"name": "a", "decoded": "x/{condition}"}])]}, "go together"),
    ],
)
def test_mistakes_in_the_configuration_name_the_file(change: dict[str, Any], message: str) -> None:
    values = {"title": "t", "tables": []} | change
    Path("results.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=message) as caught:
        config.load("results.yaml", results.Report)
    assert "results.yaml" in str(caught.value)


def test_where_somebodys_files_lie_is_not_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert outside_shortened("exp/a") == "exp/a" and outside_shortened("0.5") == "0.5"
    assert outside_shortened(str(tmp_path / "exp" / "a")) == "exp/a"
    assert outside_shortened("/home/anna/exp/pre/seed1", parts=3) == ".../exp/pre/seed1"
    assert outside_shortened("../other/model") == ".../model"


def test_a_difference_that_few_draws_know_is_said_to_be_undefined() -> None:
    gap = Interval(4.0, None, None)
    text = results.comparison_text(Comparison(5.0, 1.0, gap, None, draws=3210, replicates=5000))
    assert text == "+4.00, p undefined (defined in 3,210 of 5,000 draws)"
    gap = Interval(4.0, 1.0, 6.0)
    text = results.comparison_text(Comparison(5.0, 1.0, gap, 0.25, draws=4800, replicates=5000))
    assert text == "+4.00 [+1.00, +6.00], p = 0.250 (defined in 4,800 of 5,000 draws)"
    text = results.comparison_text(Comparison(5.0, 1.0, gap, 0.0004, draws=5000, replicates=5000))
    assert text == "+4.00 [+1.00, +6.00], p < 0.001"


@pytest.mark.parametrize("file", ["train", "decode_test/decode", "decode_test/score"])
def test_a_torn_file_behind_a_row_is_named(file: str) -> None:
    train("exp/e2e")
    decode("exp/e2e", wrong=6)
    path = Path("exp/e2e", f"{file}.json")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match=rf"{path}:\d+: torn .*(again|score first)"):
        write(table([{"name": "E2E", "decoded": "exp/e2e/decode_test"}]))


def test_every_table_says_on_which_processor_and_in_which_precision_it_was_made() -> None:
    train("exp/e2e")
    decode("exp/e2e", wrong=6)
    row = {"name": "E2E", "decoded": "exp/e2e/decode_test"}
    other = {"name": "never run", "decoded": "exp/none/decode_test"}
    text = write(table([row, other]), table([other], title="Nothing"))
    (line,) = [line for line in text.splitlines() if line.startswith("Made on ")]
    assert line.startswith(
        "Made on a processor, 2 cores in fp32 and another processor, 4 cores in bf16: the same to "
        "the digit only on this kind of processor, with as many threads"
    )
    made = json.loads(Path("exp/e2e/train.json").read_text())
    Path("exp/e2e/train.json").write_text(json.dumps(made | {"precision": "bf16"}))
    assert "2 cores in bf16 and" in write(table([row])), "what was used, not what was asked for"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("sse2 avx", "AVX"),
        ("avx avx2 fma", "AVX2"),
        ("avx avx2 avx512f", "AVX-512"),
        ("avx2 avx512f avx512_bf16", "AVX-512, bf16"),
        ("avx2 avx512f avx512_bf16 amx_tile amx_bf16", "AMX, bf16"),
        ("asimd", ""),
    ],
)
def test_processors_of_one_name_are_told_apart_by_their_vectors(flags: str, said: str) -> None:
    assert provenance.vector_instructions(flags.split()) == said


def test_hardware_names_the_vectors_of_this_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"model name": "AMD EPYC", "flags": "avx2"}
    monkeypatch.setattr(provenance, "processor_facts", lambda: facts)
    assert provenance.hardware().startswith("AMD EPYC (AVX2), ")


def test_outputs_that_the_length_limit_ended_are_told_below_the_table() -> None:
    for seed in (1, 2):
        decode(f"exp/e2e/seed{seed}", wrong=6)
        path = Path(f"exp/e2e/seed{seed}/decode_test/decode.json")
        about = json.loads(path.read_text())
        path.write_text(json.dumps(about | {"at_limit": seed - 1, "utterances": 24}))
    rows = [{"name": f"E2E {n}", "decoded": f"exp/e2e/seed{n}/decode_test"} for n in "12*"]
    text = write(table(rows))
    assert "E2E 1: 0" not in text and "- E2E 1:" not in text
    assert "- E2E 2: 1 of 24 outputs ended at decoding's length limit" in text
    assert "- E2E *: 1 of 48 outputs ended at decoding's length limit" in text


def summary(text: str) -> tuple[str, str]:
    """The two lines above the first table."""
    lines = text.partition("\n## ")[2].splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("- Compared: "))
    assert lines[at + 1].startswith("- To see first: ")
    assert not any(line.startswith("|") for line in lines[:at]), "they stand above the table"
    return lines[at].partition(": ")[2], lines[at + 1].partition(": ")[2]


def ours(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "decoded": f"exp/{name}/decode_test", **more} for name in names]


def test_above_a_table_stands_who_is_first_and_by_how_much() -> None:
    for name, wrong in (("E2E", 12), ("AT-AT", 2), ("half", 8), ("text", 0)):
        decode(f"exp/{name}", wrong)
    rows = ours("E2E", "half", "AT-AT", "none") + ours("text", ceiling=True)
    compared, first = summary(write(table(rows)))
    assert compared == (
        "4 systems by EM hyp and SemER, beside 1 ceiling (text); of 5 rows 1 not run."
    )
    gaps = [
        results.comparison_text(
            score.compare("exp/AT-AT/decode_test", f"exp/{other}/decode_test", ["em_hyp"])["em_hyp"]
        )
        for other in ("half", "E2E")
    ]
    assert gaps[0].startswith("+25.00 [") and gaps[1].startswith("+41.67 [")
    assert first.endswith(
        f" with EM hyp 91.67; {gaps[0]} against the next, half; "
        f"{gaps[1]} against the first row, E2E."
    )
    lower = summary(write(table(rows, metrics=["semer", "em_hyp"])))[1]
    assert lower.startswith("AT-AT is ") and "with SemER 4.17; -12.50 [" in lower


def test_a_lead_that_chance_may_turn_is_not_called_clear() -> None:
    make_data("data/test", [f"spk{i:02d}-{i:02d}" for i in range(24)])
    for name, wrong in (("E2E", 12), ("close", 2), ("AT-AT", 1)):
        decode(f"exp/{name}", wrong)
    said = summary(write(table(ours("E2E", "close", "AT-AT"))))[1]
    assert said.startswith("AT-AT is first, but not clearly, with EM hyp 95.83; +4.17 [")
    said = summary(write(table(ours("E2E", "close"))))[1]
    assert said.startswith("close is clearly ahead with EM hyp 91.67; +41.67 [")
    assert said.endswith("against the next, E2E."), "the first row is not named twice"


def test_equal_systems_are_both_first() -> None:
    for name, wrong in (("E2E", 12), ("AT-AT", 2), ("twin", 2)):
        decode(f"exp/{name}", wrong)
    said = summary(write(table(ours("AT-AT", "twin"))))[1]
    assert said == "AT-AT and twin are first with EM hyp 91.67."
    said = summary(write(table(ours("E2E", "AT-AT", "twin"))))[1]
    assert said.startswith("AT-AT and twin are first with EM hyp 91.67; AT-AT +41.67 [")
    assert said.endswith(" against the next, E2E.")


def test_of_a_single_system_nothing_is_claimed() -> None:
    decode("exp/E2E", wrong=6)
    compared, first = summary(write(table(ours("E2E", "AT-AT"))))
    assert compared == "2 systems by EM hyp and SemER; of 2 rows 1 not run."
    assert first == "E2E has EM hyp 75.00; no other system was run to compare it with."


def test_where_nothing_was_run_the_figures_of_others_are_looked_at() -> None:
    rows = ours("E2E", paper={"em_hyp": "no convergence"}) + ours("AT-AT", paper={"em_hyp": 99.5})
    rows.append({"name": "SOTA", "published": {"em_hyp": 99.0, "semer": 1}, "source": "a paper"})
    compared, first = summary(write(table(rows)))
    assert compared == (
        "2 systems by EM hyp and SemER, beside 1 published by others and the "
        "paper's figures for 2; none of ours was run."
    )
    assert first == (
        "nothing was run here yet; of the figures of others, AT-AT (paper) is first "
        "with EM hyp 99.50, +0.50 points against the next, SOTA (published)."
    )
    rows = ours("E2E", paper={"em_hyp": 80}) + ours("text", ceiling=True, paper={"em_hyp": 99})
    assert "E2E (paper) is first with EM hyp 80.00." in summary(write(table(rows)))[1]
    decode("exp/text", wrong=0)
    assert summary(write(table(rows)))[1].startswith("no system was run here yet; of the figures")
    difference = ours("E2E", paper_difference={"semer": 1.0})
    assert summary(write(table(difference)))[1] == (
        "nothing was run here yet, and others give no figures to set beside."
    )


def test_a_table_on_several_test_sets_is_judged_on_the_first_that_was_run() -> None:
    make_data("data/noisy", UTTERANCES)
    decode("exp/E2E", wrong=6, name="decode_noisy", data="data/noisy")
    rows = [{"name": "E2E", "decoded": "exp/E2E/decode_{condition}"}]
    text = write(table(rows, conditions={"clean": "test", "loud": "noisy"}))
    assert summary(text) == (
        "1 system by EM hyp and SemER on 2 test sets; of 1 row 1 run on a part of the test sets.",
        "E2E has EM hyp, loud 75.00; no other system was run to compare it with.",
    )
