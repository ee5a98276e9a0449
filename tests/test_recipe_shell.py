"""utils/recipe.sh: options, stages, marks, failures, templates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from waiting import until

ROOT = Path(__file__).resolve().parent.parent

RECIPE = """#!/usr/bin/env bash
# A recipe of three stages.
#
# They say what they do.

. "{root}/utils/recipe.sh"
option size tiny "how much"
path_option corpus "" "folder of the corpus"
number_option nj 2 "jobs"
flag mini "less of it"
parse_options "$@"
keep_marks "$exp"

count() {{
  [ ! -e broken ] || false
  echo "one of size $size"
}}

if stage 0 "Zero"; then
  echo "zero on $corpus"
fi
if stage 1 "One"; then
  count
fi
if stage 2 "Two"; then
  [ ! -e slow ] || sleep 60
  echo "two with $nj jobs${{mini:+, mini}}"
fi
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recipe toy/run.sh; its name has a space."""
    script = tmp_path / "my recipes" / "toy" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text(RECIPE.format(root=ROOT))
    script.chmod(0o755)
    return script.parent.parent


@pytest.fixture
def run(folder: Path) -> Run:
    """Starts the recipe from the folder above its own."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["toy/run.sh", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    return start


@pytest.mark.parametrize(("cores", "wanted"), [(1, 1), (2, 2), (16, 16)])
def test_a_program_has_as_many_threads_as_there_are_cores(
    folder: Path, cores: int, wanted: int
) -> None:
    with open(folder / "toy" / "run.sh", "a") as script:
        script.write('echo "threads: $OMP_NUM_THREADS"\n')
    program = folder / "bin" / "nproc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {cores}\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environment.pop("OMP_NUM_THREADS", None)
    found = subprocess.run(
        ["toy/run.sh", "--ngpu", "0"], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert f"threads: {wanted}" in found.stdout.splitlines(), found.stderr


def test_help_is_the_comment_block_and_the_options(run: Run) -> None:
    result = run("--help")
    assert result.returncode == 0
    block = "A recipe of three stages.\n\nThey say what they do.\n\nStages; "
    assert result.stdout.startswith(block) and "\n   2  Two\n\nOptions" in result.stdout
    for name in ("stage", "stop_stage", "nj", "ngpu", "corpus", "exp", "size"):
        assert f"  --{name} " in result.stdout
    assert "how much (tiny)" in result.stdout
    assert "stage 0" not in result.stdout


def test_all_stages_run_in_order(run: Run) -> None:
    result = run("--nj", "3")
    assert result.returncode == 0, result.stderr
    first_words = ("zero", "one", "two")
    said = [line for line in result.stdout.splitlines() if line.startswith(first_words)]
    assert said == ["zero on ", "one of size tiny", "two with 3 jobs"]
    assert "=== stage 1: One (" in result.stdout


def test_values_are_taken_as_they_are(run: Run) -> None:
    for value in ("$(touch evil)", "a b'c\"d", "*"):
        assert f"one of size {value}\n" in run("--size", value).stdout
    assert "one of size x=y\n" in run("--size=x=y").stdout


def test_a_flag_takes_no_value(run: Run) -> None:
    for arguments in (["--mini"], ["--mini", "--nj", "2"], ["--nj", "2", "--mini"]):
        assert "two with 2 jobs, mini\n" in run(*arguments, "--stage", "2").stdout
    assert "two with 2 jobs\n" in run("--stage", "2").stdout
    assert run("--mini=no").stderr == "error: --mini takes no value, found 'no'\n"
    assert "'no' is not an option" in run("--mini", "no").stderr


def test_paths_are_meant_from_the_caller(run: Run, folder: Path) -> None:
    assert f"zero on {folder}/data\n" in run("--corpus", "data").stdout
    assert "zero on /data\n" in run("--corpus", "/data").stdout
    assert "zero on \n" in run("--corpus", "").stdout


def test_a_path_is_the_same_with_a_slash_at_its_end(run: Run, folder: Path) -> None:
    assert f"zero on {folder}/data\n" in run("--corpus", "data//", "--exp", "e/").stdout
    assert stages(run("--corpus", "data", "--exp", "e")) == []


def test_an_ampersand_is_a_letter_like_others(run: Run, folder: Path) -> None:
    with open(folder / "toy" / "run.sh", "a") as script:
        script.write('names=(x y)\necho "${names[@]/#/$corpus/}"\n')
    assert f"{folder}/a&b/x {folder}/a&b/y\n" in run("--corpus", "a&b").stdout


def test_a_cdpath_leads_nowhere_else(folder: Path) -> None:
    """It would be looked through for `toy`, for `utils/..` and, by mypy's script, for the same."""
    elsewhere = folder / "elsewhere"
    for name in ("toy", "utils", "mypy"):
        (elsewhere / name).mkdir(parents=True)
    mypy = folder / "bin" / "mypy"
    mypy.parent.mkdir()
    mypy.write_text('#!/bin/sh\necho "in $PWD"\n')
    mypy.chmod(0o755)
    path = f"{mypy.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CDPATH": str(elsewhere)}

    def said(where: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "one of size tiny\n" in said(folder, "toy/run.sh")
    assert (folder / "toy" / "exp").is_dir()
    asked = '. utils/environment.sh; echo "$atat_root"'
    assert said(ROOT, "bash", "-c", asked) == f"{ROOT}\n"
    assert set(said(ROOT, "bash", "utils/types.sh").splitlines()) == {f"in {ROOT}"}


def test_a_miniature_of_an_earlier_run_is_no_proof(folder: Path) -> None:
    """Marks know nothing of atat/ and utils/: before it is run for a change it is removed."""
    code = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    mini = code[code.index("mini() {") : code.index("export -f mini")]
    script = folder / "toy" / "run.sh"
    script.write_text('#!/bin/sh\ncd "$(dirname "$0")"\nmkdir data_mini exp_mini\n')
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-c", f"{mini}\nmini toy/run.sh"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and "passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--stage", "abc"], "--stage wants a whole number, found 'abc'"),
        (["--stage", "-1"], "--stage wants a whole number, found '-1'"),
        (["--nj", "0"], "--nj wants at least 1"),
        (["--gpu_jobs", "0"], "--gpu_jobs wants at least 1"),
        (["--ngpu", "1000"], "--ngpu 1000, but"),
        (["--stge", "1"], "unknown option --stge; the options are: --stage --stop_stage --nj"),
        (["--exp", ""], "--exp wants a path, found an empty one"),
        (["--exp="], "--exp wants a path, found an empty one"),
        (["--size"], "--size wants a value"),
        (["--size", "--nj", "1"], "--size wants a value, found the option '--nj'"),
        (["tiny"], "'tiny' is not an option"),
        (["--stage", "9"], "no stage from 9 to 99; the stages are: 0 1 2"),
        (["--stage", "2", "--stop_stage", "1"], "--stage 2 comes after --stop_stage 1"),
    ],
)
def test_wrong_options_are_refused(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert "===" not in result.stdout


@pytest.mark.parametrize(("visible", "gpus"), [("", 0), ("-1", 0), ("0,1", 2), ("3,-1,4", 1)])
def test_gpus_are_those_that_cuda_would_see(
    run: Run, monkeypatch: pytest.MonkeyPatch, visible: str, gpus: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    result = run("--ngpu", "1000")
    assert f"--ngpu 1000, but {gpus} GPUs" in result.stderr


def test_templates_are_filled_with_whatever_a_path_holds(run: Run, folder: Path) -> None:
    recipe = folder / "toy" / "run.sh"
    recipe.write_text(
        recipe.read_text().replace(
            'keep_marks "$exp"',
            'fill template.yaml new/filled.yaml exp "$corpus" data "a&b|c\\d" none unused',
        )
    )
    template = 'one: "{exp}/x"\ntwo: "{data} {exp}"\nthree: "{other}"\n'
    (folder / "toy" / "template.yaml").write_text(template)
    assert run("--corpus", "/some/place & more", "--stop_stage", "0").returncode == 0
    filled = yaml.safe_load((folder / "toy" / "new" / "filled.yaml").read_text())
    where = "/some/place & more"
    assert filled == {"one": f"{where}/x", "two": f"a&b|c\\d {where}", "three": "{other}"}


def test_a_template_with_a_base_is_not_filled_where_the_base_is_not(run: Run, folder: Path) -> None:
    recipe = folder / "toy" / "run.sh"
    recipe.write_text(
        recipe.read_text().replace(
            'keep_marks "$exp"', 'fill template.yaml new/filled.yaml exp "$exp"'
        )
    )
    (folder / "toy" / "template.yaml").write_text("base: other.yaml\none: 1\n")
    result = run("--stop_stage", "0")
    assert result.returncode == 2 and not (folder / "toy" / "new").exists()
    assert "template.yaml has a base; fill it by atat conf_copy --fill" in result.stderr
    (folder / "toy" / "template.yaml").write_text("# base: none\nx:\n  base: y\n")
    assert run("--stop_stage", "0").returncode == 0


def stages(result: subprocess.CompletedProcess[str]) -> list[int]:
    """The stages that did run."""
    lines = [line for line in result.stdout.splitlines() if line.startswith("===")]
    return [int(line.split()[2].rstrip(":")) for line in lines]


def test_done_stages_are_skipped_until_something_changes(run: Run, folder: Path) -> None:
    assert stages(run("--stop_stage", "1")) == [0, 1]
    assert stages(run()) == [2]
    again = run()
    assert stages(again) == [] and again.returncode == 0
    assert "Nothing to do: all stages are up to date" in again.stdout
    assert stages(run("--nj", "7")) == []
    assert stages(run("--size", "full")) == [0, 1, 2]
    (folder / "toy" / "conf").mkdir()
    (folder / "toy" / "conf" / "a.yaml").write_text("x: 1\n")
    assert stages(run("--size", "full")) == [0, 1, 2]
    assert stages(run("--size", "full")) == []


def test_stages_are_done_again_when_a_file_they_are_made_from_changes(
    run: Run, folder: Path
) -> None:
    script = folder / "toy" / "run.sh"
    marks = 'keep_marks "$exp"'
    script.write_text(script.read_text().replace(marks, f'{marks} "$corpus"'))
    table = folder / "a b.csv"
    for content, expected in (("1", [0, 1, 2]), ("1", []), ("2", [0, 1, 2]), ("2", [])):
        table.write_text(content)
        assert stages(run("--corpus", table.name)) == expected


def test_a_stage_rerun_alone_invalidates_the_later_ones(run: Run) -> None:
    run()
    assert stages(run("--stage", "1", "--stop_stage", "1")) == [1]
    assert stages(run()) == [2]
    assert stages(run("--stage", "1")) == [1, 2]


def test_a_failure_inside_a_function_stops_and_says_how_to_continue(run: Run, folder: Path) -> None:
    (folder / "toy" / "broken").touch()
    result = run("--size", "a b", "--stage", "0")
    assert result.returncode == 1
    assert "one of size" not in result.stdout and stages(result) == [0, 1]
    assert "error: stage 1 (One) failed with exit code 1" in result.stderr
    command = result.stderr.rstrip().splitlines()[-1].strip()
    assert command == r"toy/run.sh --size a\ b --stage 1"
    (folder / "toy" / "broken").unlink()
    continued = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert continued.returncode == 0 and stages(continued) == [1, 2]


def ends_when_interrupted(process: subprocess.Popen[str]) -> bool:
    """Whether a process has ended; if not, its group is sent Ctrl-C."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        return False
    return True


def test_ctrl_c_says_how_to_continue(folder: Path) -> None:
    (folder / "toy" / "slow").touch()
    process = subprocess.Popen(
        ["toy/run.sh"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("=== stage 2"):
            break
    # A signal between a fork and the program it starts is lost; a user repeats it, too.
    until(lambda: ends_when_interrupted(process), "the end of the stage", pause=0.5)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "stage 2 (Two) was interrupted" in errors
    assert errors.rstrip().endswith("toy/run.sh --stage 2")
    assert "error" not in errors


def test_another_shell_is_told_to_use_bash(folder: Path) -> None:
    if os.path.realpath("/bin/sh").endswith("bash"):
        pytest.skip("sh is bash here")
    result = subprocess.run(["sh", "toy/run.sh"], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 2 and "recipes are written for bash" in result.stderr


QUEUE = """#!/usr/bin/env bash
. "{root}/utils/recipe.sh"
parse_options "$@"
keep_marks "$exp"
if stage 0 "Queue"; then
  for word in "a b" "it's" c; do queue python say.py "$word"; done
  run_queue
  queue python say.py later
  run_queue
fi
"""


QUEUED_LAST = """#!/usr/bin/env bash
# What a stage queues belongs to it, that of the last stage, too.
. "{root}/utils/recipe.sh"
parse_options "$@"
keep_marks "$exp"
if stage 8 "Decode"; then
  queue touch "one file"
fi
if stage 9 "Decode more"; then
  queue [ ! -e broken ]
fi
"""


@pytest.mark.parametrize("options", [("--cluster", "cluster.yaml"), ("--ngpu", "0")])
def test_what_is_queued_ends_with_its_stage_and_fails_it(
    folder: Path, run: Run, options: tuple[str, str]
) -> None:
    """On a cluster and here; it runs as the stage ends, in a condition, in which bash goes on."""
    (folder / "toy" / "run.sh").write_text(QUEUED_LAST.format(root=ROOT))
    (folder / "cluster.yaml").write_text("kind: local\n")
    (folder / "toy" / "broken").touch()
    failed = run(*options)
    assert (folder / "toy" / "one file").exists()
    assert failed.returncode == (1 if "--cluster" in options else 123)  # 123: of xargs
    assert "stage 9 (Decode more) failed" in failed.stderr
    (folder / "toy" / "broken").unlink()
    done = run(*options)
    assert done.returncode == 0 and "stage 8: Decode: done before" in done.stdout


THREADS = """#!/usr/bin/env bash
. "{root}/utils/recipe.sh"
parse_options "$@"
echo "nj: $nj"
if stage 0 "Queue"; then
  for _ in a b; do queue printenv OMP_NUM_THREADS; done
fi
"""


@pytest.mark.parametrize(("wanted", "each"), [(None, 8), ("4", 4), ("16", 8), ("4,1", 4)])
def test_the_threads_that_a_user_allows_limit_trainings_and_nothing_else(
    folder: Path, wanted: str | None, each: int
) -> None:
    """nproc is one that obeys OMP_NUM_THREADS, as that of the coreutils does."""
    (folder / "toy" / "run.sh").write_text(THREADS.format(root=ROOT))
    program = folder / "bin" / "nproc"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "${OMP_NUM_THREADS:-16}"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environment.pop("OMP_NUM_THREADS", None)
    if wanted is not None:
        environment["OMP_NUM_THREADS"] = wanted
    found = subprocess.run(
        ["toy/run.sh", "--ngpu", "0"], cwd=folder, capture_output=True, text=True, env=environment
    ).stdout.splitlines()
    assert "nj: 16" in found and found.count(str(each)) == 2


def test_queued_programs_all_run_and_one_failure_fails_the_stage(folder: Path) -> None:
    (folder / "toy" / "run.sh").write_text(QUEUE.format(root=ROOT))
    (folder / "toy" / "say.py").write_text(
        "import sys\nsys.stdout.write(f'said {sys.argv[1]}\\n')\nsys.exit(sys.argv[1] == 'c')\n"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["toy/run.sh", "--nj", "2", "--ngpu", "0"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    said = sorted(line for line in result.stdout.splitlines() if line.startswith("said"))
    assert said == ["said a b", "said c", "said it's"]
    assert result.returncode != 0 and "stage 0 (Queue) failed" in result.stderr


PATHS = """#!/usr/bin/env bash
. "{root}/utils/recipe.sh"
paths_option asr "data dirs"
paths_option nlu "data dirs"
parse_options "$@"
keep_marks "$exp"
for dir in ${{asr[@]+"${{asr[@]}}"}} ${{nlu[@]+"${{nlu[@]}}"}}; do echo "dir $dir"; done
fill template.yaml "$exp/filled.yaml" exp "$exp" folds 5
atat conf_copy conf.yaml --out "$exp/conf" --move data "$exp/data" --set steps=6
"""
STRANGE = 'it\'s a "#1": {exp} & \\back $x'


def test_paths_may_be_repeated_and_hold_any_character(folder: Path) -> None:
    toy = folder / "toy"
    (toy / "run.sh").write_text(PATHS.format(root=ROOT))
    (toy / "template.yaml").write_text('exp: "{exp}/seed*"\nfolds: {folds}\n')
    (toy / "conf.yaml").write_text("train: [{data: data/train, task: slu}]\nsteps: 100\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    command = ["toy/run.sh", "--asr", "one dir", "--asr=/two  dirs", "--exp", STRANGE]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    dirs = [line for line in result.stdout.splitlines() if line.startswith("dir ")]
    assert dirs == [f"dir {folder}/one dir", "dir /two  dirs"]
    exp = folder / STRANGE
    assert yaml.safe_load((exp / "filled.yaml").read_text()) == {"exp": f"{exp}/seed*", "folds": 5}
    assert yaml.safe_load((exp / "conf" / "conf.yaml").read_text()) == {
        "train": [{"data": f"{exp}/data/train", "task": "slu"}],
        "steps": 6,
    }
    two = subprocess.run(["toy/run.sh", "--asr", "one", "two"], cwd=folder, capture_output=True)
    assert two.returncode == 2 and b"'two' is not an option" in two.stderr
    assert b"for several, --asr stands before each" in two.stderr
    none = subprocess.run(["toy/run.sh", "--asr", ""], cwd=folder, capture_output=True)
    assert none.returncode == 2 and b"--asr wants a path" in none.stderr


def test_a_stage_is_done_again_when_a_repeated_option_changes(folder: Path) -> None:
    script = PATHS.split("for dir")[0] + 'if stage 0 "Say"; then echo said; fi\n'
    (folder / "toy" / "run.sh").write_text(script.format(root=ROOT))

    def said(*arguments: str) -> bool:
        command = ["toy/run.sh", *arguments]
        return (
            "said\n"
            in subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=True
            ).stdout
        )

    assert said("--asr", "a", "--asr", "b")
    assert not said("--asr", "a", "--asr", "b")
    assert said("--asr", "a", "--asr", "c")


KINDS = """#!/usr/bin/env bash
# Kinds of options.
. "{root}/utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "folder of the corpus"
choice_option field both "close far both" "where the microphone is"
words_option kinds "a b" "a b c" "which kinds"
model_option init "model to start from"
option max_lost 0.01 "share"
mini_flag max_lost 0.5 nj 1 corpus data_mini/corpus
parse_options "$@"
need corpus "the folder, from https://example.org"
start_from_init
echo "$data $exp $(table_file RESULTS.md) $max_lost $nj $corpus|$note"
echo "$field; $kinds; $seeds; $start; $base; $standin"
if stage 0 "Zero"; then :; fi
if [ -n "$start" ] && stage 7 "Seven of $field"; then :; fi
"""


@pytest.fixture
def kinds(folder: Path) -> Run:
    (folder / "toy" / "ab").touch()  # what the pattern a* finds
    (folder / "toy" / "run.sh").write_text(KINDS.format(root=ROOT))
    for name in ("config.yaml", "SHA256SUMS"):
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).touch()

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["toy/run.sh", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    return start


def test_mini_changes_defaults_and_nothing_that_is_given(kinds: Run, folder: Path) -> None:
    said = kinds("--corpus", "/c", "--nj", "3").stdout.splitlines()
    assert said[1:3] == ["data exp RESULTS.md 0.01 3 /c|", "both; a b; 1; ; /tokenizer; "]
    assert "no --init" in said[0]
    said = kinds("--mini").stdout.splitlines()
    assert said[0].startswith("data_mini exp_mini exp_mini/RESULTS.md 0.5 1 data_mini/corpus|Mini")
    assert (
        said[1]
        == "both; a b; 1; exp_mini/standin/seed1/model; data_mini/tokenizer_standin; standin"
    )
    said = kinds(
        "--mini",
        "--max_lost",
        "0.1",
        "--exp",
        "/e",
        "--init",
        "model",
        "--seeds",
        "4 05",
        "--kinds",
        "c a",
    ).stdout.splitlines()
    assert said[0].startswith("data_mini /e /e/RESULTS.md 0.1 1 ")
    assert said[1] == f"both; c a; 4 5; {folder}/model; {folder}/model/tokenizer; "
    assert "=== stage 7: Seven of both" in "\n".join(said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "--corpus is missing: the folder, from https://example.org\n"
            "Every stage on made-up data: toy/run.sh --mini",
        ),
        (["--mini", "--corpus", "x"], "--mini makes its own corpus; leave out --corpus, or --mini"),
        (["--field", "near"], "--field is one of: close far both; found 'near'"),
        (["--field", "close far"], "--field is one of: close far both; found 'close far'"),
        (["--field", ""], "--field is one of: close far both; found ''"),
        (["--kinds", "a d"], "--kinds are some of: a b c; found 'd'"),
        (["--kinds", "a*"], "--kinds are some of: a b c; found 'a*'"),
        (["--seeds", "1 two"], "--seeds wants whole numbers such as \"1 2 3\", found '1 two'"),
        (["--seeds", ""], "--seeds wants whole numbers"),
        (["--seeds", "1 2 01"], "--seeds wants each once, found 1 again in '1 2 1'"),
        (["--kinds", "a b a"], "--kinds wants each once, found a again in 'a b a'"),
        (["--init", "toy"], "toy: is no packed model; expected a folder with config.yaml and SHA"),
    ],
)
def test_what_an_option_may_not_be_is_said(kinds: Run, arguments: list[str], message: str) -> None:
    result = kinds(*arguments)
    assert result.returncode == 2 and message in result.stderr
    assert "===" not in result.stdout


def test_help_lists_the_stages(kinds: Run) -> None:
    said = kinds("--help").stdout
    assert "   0  Zero\n   7  Seven of $field\n" in said
    assert "where the microphone is: close far both (both)" in said
    assert "which kinds, some of: a b c (a b)" in said


ENCODERS = """#!/usr/bin/env bash
. "{root}/utils/recipe.sh"
. "$atat_root/utils/models.sh"
encoder_option
path_option data data "folder of data dirs"
mini_flag
parse_options "$@"
use_encoder
echo "$data $exp $(table_file RESULTS.cpu.md) $arks $lfb_data"
check_encoder "" "" && echo "features ${{features_options[*]}}"
check_encoder model "my data"
confs=$exp/conf copy_confs data "$data" conf/a.yaml
keep_marks "$exp"
if stage 9 "Nine"; then table results.yaml "$(table_file RESULTS.md)"; fi
"""


@pytest.mark.parametrize(
    ("arguments", "places", "encoder", "name"),
    [
        ("", "data exp RESULTS.cpu.md lfb data", "", ""),
        ("--encoder none", "data exp RESULTS.cpu.md lfb data", "", ""),
        (
            "--encoder tiny",
            "data_tiny exp_tiny RESULTS.cpu.tiny.md states data",
            "tiny",
            "tiny",
        ),
        (
            "--encoder some/name --exp /E --data /D",
            "/D /E /E/RESULTS.cpu.name.md states /D",
            "some/name",
            "name",
        ),
        (
            "--encoder w2v/ --mini",
            "data_mini_w2v exp_mini_w2v exp_mini_w2v/RESULTS.cpu.w2v.md states data_mini",
            "HERE/w2v",
            "w2v",
        ),
    ],
)
def test_an_encoder_has_folders_of_its_own(
    folder: Path, arguments: str, places: str, encoder: str, name: str
) -> None:
    """`atat` is a program that says how it was called; the folder w2v holds an encoder."""
    (folder / "toy" / "run.sh").write_text(ENCODERS.format(root=ROOT))
    (folder / "toy" / "results.yaml").write_text("a: 1\n")
    (folder / "w2v").mkdir()
    (folder / "w2v" / "config.json").touch()
    program = folder / "bin" / "atat"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "<%s>" "$@"\necho\n')
    program.chmod(0o755)
    words = [word.replace("/E", str(folder / "E")) for word in arguments.split()]
    done = subprocess.run(
        ["toy/run.sh", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line[:1] not in ("", "=", "-", "D")]
    said = [line.replace(str(folder / "E"), "/E").replace(str(folder), "HERE") for line in said]
    data, exp = places.split()[:2]
    options = f"--encoder {encoder}" if encoder else ""
    expected = [places]
    expected += [f"<encoder><check><{encoder}>"] if encoder else []
    expected += [
        f"features {options}",
        f"<encoder><check><{encoder or 'none'}><--model><model><--data><my data>",
        f"<{'miniature_conf' if '--mini' in arguments else 'conf_copy'}><conf/a.yaml><--out>"
        f"<{exp}/conf><--move><data><{data}>" + (f"<--encoder><{encoder}>" if encoder else ""),
    ]
    assert said[: len(expected)] == expected
    (table,) = [line for line in said if line.startswith("<results>")]
    assert ("states of the speech encoder" in table) == bool(encoder)
    assert f"encoder {name} (--encoder)>" in table or not encoder


MODELS = """#!/usr/bin/env bash
. "{root}/utils/recipe.sh"
. "$atat_root/utils/models.sh"
flag mini "less"
parse_options "$@"
confs="$exp/conf" train_set[big]="model.width=$seeds"
mkdir -p "$confs/folds"
if stage 6 "Train"; then
  copy_confs data "my data" conf/a.yaml conf/b.yaml
  train small
  train big small a
  train folds "$exp/packed model"
  run_queue
fi
if stage 8 "Decode"; then
  each_of decode "small test slu" "big folds/0/test nlu bridge=0.5 values=a/b"
fi
if stage 9 "Score"; then
  each_of score "small test slu" "big folds/0/test nlu bridge=0.5 values=a/b"
  table results.yaml "$(table_file RESULTS.md)" folds 5
fi
"""


def test_models_are_trained_decoded_and_scored_with_each_seed(folder: Path) -> None:
    """`atat` is a program that says how it was called."""
    (folder / "toy" / "run.sh").write_text(MODELS.format(root=ROOT))
    (folder / "toy" / "results.yaml").write_text('a: "{exp}/seed*"\nb: "{data}"\nfolds: {folds}\n')
    program = folder / "bin" / "atat"
    program.parent.mkdir()
    in_turn = '[ "$1" != in_turn ] || exec xargs -0 -n 1 bash -c'
    program.write_text(f'#!/bin/sh\n{in_turn}\nprintf "<%s>" "$@"\necho\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def called(*arguments: str) -> list[str]:
        result = subprocess.run(
            [
                "toy/run.sh",
                "--exp",
                "my exp",
                "--ngpu",
                "0",
                "--nj",
                "1",
                "--seeds",
                "7 8",
                *arguments,
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert result.returncode == 0, result.stderr
        lines = [line for line in result.stdout.splitlines() if line.startswith("<")]
        return [line[1:-1].replace("><", "|").replace(f"{folder}/my exp", "EXP") for line in lines]

    assert called("--stop_stage", "6") == [
        "conf_copy|conf/a.yaml|conf/b.yaml|--out|EXP/conf|--move|data|my data",
        "train|--config|EXP/conf/small.yaml|--out|EXP/small/seed7|--seed|7",
        "train|--config|EXP/conf/small.yaml|--out|EXP/small/seed8|--seed|8",
        "train|--config|EXP/conf/a.yaml|--out|EXP/big/seed7|--seed|7|--init|"
        "EXP/small/seed7/model|--set|model.width=7 8",
        "train|--config|EXP/conf/a.yaml|--out|EXP/big/seed8|--seed|8|--init|"
        "EXP/small/seed8/model|--set|model.width=7 8",
        "train|--config|EXP/conf/folds/7.yaml|--out|EXP/folds/seed7|--seed|7|--init|"
        "EXP/packed model",
        "train|--config|EXP/conf/folds/8.yaml|--out|EXP/folds/seed8|--seed|8|--init|"
        "EXP/packed model",
    ]
    decoded = called("--stage", "8", "--stop_stage", "8")
    assert decoded[1::2] == [
        "decode|--model|EXP/small/seed8/model|--data|data/test|--task|slu|--nj|1|--out|"
        "EXP/small/seed8/decode_test_slu",
        "decode|--model|EXP/big/seed8/model|--data|data/folds/0/test|--task|nlu|"
        "--bridge=0.5|--values=a/b|--nj|1|--out|EXP/big/seed8/decode_test_nlu_bridge=0.5_values",
    ]
    scored = called("--stage", "9")
    # What is scored is what was decoded, of the same data.
    assert [line.split("|")[-1] for line in scored[:-1]] == [
        line.split("|")[-1] for line in decoded
    ]
    assert [line.split("|")[2] for line in scored[:-1]] == [line.split("|")[4] for line in decoded]
    assert scored[-1] == ("results|--config|EXP/results.yaml|--out|EXP/RESULTS.md|--title_note|")
    assert yaml.safe_load((folder / "my exp" / "results.yaml").read_text()) == {
        "a": f"{folder}/my exp/seed*",
        "b": "data",
        "folds": 5,
    }
    assert called("--mini", "--stage", "6", "--stop_stage", "6")[0].startswith(
        "miniature_conf|conf/a.yaml|conf/b.yaml|--out|EXP/conf|--move|data|my data"
    )
