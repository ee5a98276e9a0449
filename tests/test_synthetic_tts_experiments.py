"""The experiments of egs/synthetic_tts: what their tables show is trained and decoded."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from atat.base import config
from atat.scoring.results_settings import Report

RECIPE = Path(__file__).parent.parent / "egs" / "synthetic_tts"
EXPERIMENTS = ("main", "low_resource", "full_music", "real_audio", "ablations")
LISTS = ("scratch", "finetuned", "decodings", "taggers", "readings")


def lists(experiments: str, *, size: str = "full", bert: str = "/bert") -> dict[str, list[str]]:
    """What local/experiments.sh puts into its lists."""
    prints = "; ".join(
        f'echo "= {name}"; printf "%s\\n" ${{{name}[@]+"${{{name}[@]}}"}}' for name in LISTS
    )
    script = (
        f'set -euo pipefail; refuse() {{ echo "$*" >&2; exit 2; }}; '
        f"size={size} bert={bert} experiments='{experiments}'; "
        f". local/experiments.sh >/dev/null; {prints}"
    )
    done = subprocess.run(["bash", "-c", script], cwd=RECIPE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("= "):
            found[line[2:]] = []
        elif line:
            found[list(found)[-1]].append(line)
    return found


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_alone_trains_all_it_starts_from(experiment: str) -> None:
    found = lists(experiment)
    trained = set(found["scratch"])
    for line in found["finetuned"]:
        name, start, *conf = line.split()
        assert start in trained, line
        trained.add(name)
        for size in ("full", "tiny"):
            assert (RECIPE / "conf" / size / f"{(conf or [name])[0]}.yaml").is_file(), line
    for name in found["scratch"]:
        for size in ("full", "tiny"):
            assert (RECIPE / "conf" / size / f"{name}.yaml").is_file(), name
    for line in found["decodings"]:
        assert line.split()[0] in trained, line
    for line in found["readings"]:
        assert line.split()[0] in trained | set(found["taggers"]), line


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_row_of_its_table_is_decoded_and_everything_decoded_is_a_row(experiment: str) -> None:
    found = lists(experiment)
    made = {
        "{exp}/%s/seed*/decode_%s" % (line.split()[0], "_".join(line.split()[1:]))
        for line in found["decodings"]
    }
    made |= {
        "{exp}/%s/seed*/decode_test_music_after_%s" % tuple(line.split())
        for line in found["readings"]
    }
    name = "results.yaml" if experiment == "main" else f"results_{experiment}.yaml"
    report = config.load(RECIPE / "conf" / name, Report)
    rows = {row.decoded for table in report.tables for row in table.rows}
    rows.discard("{exp}/pocketsphinx/decode_test_music")  # local/two_stage.sh makes it
    made.discard("{exp}/pretrain/seed*/decode_train_music_10_asr")  # taggers learn from it
    assert rows == made
    for table in report.tables:
        test_set = table.data.removeprefix("{data}/")
        for row in table.rows:
            assert re.search(rf"decode_{test_set}(_|$)", row.decoded), row.name


def test_what_several_experiments_need_is_done_once() -> None:
    together = lists(" ".join(EXPERIMENTS))
    for name in LISTS:
        assert len(together[name]) == len(set(together[name]))
        alone = {line for one in EXPERIMENTS for line in lists(one)[name]}
        assert set(together[name]) == alone


def test_without_bert_nothing_asks_for_it_and_mini_decodes_less() -> None:
    found = lists("ablations", bert="")
    assert "bert" not in str(found)
    full, mini = (lists("main full_music", size=size) for size in ("full", "mini"))
    assert full["scratch"] == mini["scratch"] and full["readings"] == mini["readings"]
    assert 0 < len(mini["decodings"]) < len(full["decodings"])
