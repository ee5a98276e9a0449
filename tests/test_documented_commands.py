"""Every command, YAML file and piece of Python that README, documentation and recipes show.

What takes seconds is run, in a folder where the pages' data and confs lie: first all of the page on
one's own data, with its conf but for two steps, then whatever uses the model. Options of recipes
are read by the recipes themselves, which `.ci/run` runs whole with --mini. What needs a network, a
microphone or hours is read by the parser of its command. A line that no rule knows fails.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import documented
import numpy as np
import pytest
import serving
import tiny
import yaml
from documented import ROOT, Block, Command

from atat import runtime
from atat.__main__ import main
from atat.apps.recognizer import Recognizer
from atat.apps.server.app import Service
from atat.base import config
from atat.base.cluster import ClusterSettings
from atat.datadir import tables
from atat.datadir.ctm import Word
from atat.engine import named_model, registry
from atat.engine.settings import RunSettings
from atat.prepare import timed_words
from atat.runtime.__main__ import main as runtime_main
from atat.scoring.results_settings import Report
from atat.systems.joint.settings import TrainSettings

OWN = "docs/pages/how-to/own-data.md"
# The model of the page, but shallow, and trained for two steps.
SHORT = {
    "steps": 2,
    "batch": {"examples": 6},
    "valid": {"every": 2, "decode": 2},
    "model": {
        "width": 16,
        "audio_encoder": {"layers": 1, "feed_forward": 16, "heads": 2},
        "text_encoder": {"layers": 1, "feed_forward": 16, "heads": 2},
        "decoder": {"layers": 1, "feed_forward": 16, "heads": 2},
    },
}

# (pages, lines, what is done with them); the first that fits counts.
RULES = [
    ("egs/template/README.md", ".*", "test_template_page"),  # runs all of it, in its order
    (".*", r"atat (serve|publish|encoder get) .*", "understood"),  # waits for people, or a network
    (".*", r"atat recognize (\S+ --microphone|anna/coffee .*)", "understood"),
    (".*", r"arecord .* \| (atat .*)", "understood"),
    # tests/test_runtime.py exports models and runs them: a quarter of a minute.
    ("docs/pages/how-to/device.md", "(atat|python -m atat.runtime) .*", "understood"),
    (".*", r"atat .*(moonshine|TEXTGRIDS).*", "understood"),  # an encoder's weights; an aligner
    ("docs/pages/systems/.*", "atat .*", "understood"),  # models of the papers' sizes, for hours
    (
        "(egs/(barista|fluentspeech)|atat/systems)/README.md",
        "atat .*",
        "understood",
    ),  # days; a system of one's own
    ("atat/apps/demo/.*", "atat (train|decode|score) .*", "understood"),  # how the model was made
    (".*", r"atat [^|]*", "run"),
    (".*", r"(atat [^|]*)\| (head|jq|python -m json\.tool) .*", "run"),
    (".*", r"(\S*/)?run\.sh( .*)?", "recipe"),
    (".*", r"(PIP_\w+=\S+ )*(utils|tools|\.ci)/(?!venv)\S+( .*)?", "script"),
    (".*", r"tools/venv/bin/atat .*", "understood"),
    (".*", r"tools/venv/bin/(ruff|mypy)\b.*", "linter"),
    (".*", r"\S*python\S* -m pip .*|tools/venv/bin/pip .*", "pip"),
    (".*", r"(srun )?\S*python -m torch\.distributed\.run .*", "torchrun"),
    (".*", r"curl .*", "served"),
    # The shell's own, and programs that are not ours.
    (".*", r"export \w+=\S+|cd \S+|for \w+ in .*; do|done|head=\$\(.*\)", "not ours"),
    (".*", r"(git clone|apt-get install|conda|flite|cat|hf auth) .*", "not ours"),
    ("tools/README.md", r"tools/venv/bin/python -m piper\.download_voices \S+", "not ours"),
]


def rule(command: Command) -> tuple[int, re.Match[str]]:
    """The number of the rule for a command, and how its line fits."""
    for number, (pages, lines, _) in enumerate(RULES):
        fits = re.fullmatch(lines, command.line)
        if fits and re.fullmatch(pages, command.page):
            return number, fits
    raise AssertionError(f"{command.page}: no rule says how to test: {command.line}")


def commands(*done: str) -> list[Any]:
    """Parameters: each command for which one of these is done, once a page."""
    found = dict.fromkeys(each for each in documented.commands() if RULES[rule(each)[0]][2] in done)
    return [pytest.param(each, id=f"{each.page}: {each.line}"[:110]) for each in found]


def test_every_command_has_a_rule_and_every_rule_a_command() -> None:
    """Rules that fit nothing any more would hide what they were made for."""
    used = {rule(command)[0] for command in documented.commands()}
    assert used == set(range(len(RULES))), [RULES[n] for n in set(range(len(RULES))) - used]
    assert (ROOT / "tests/test_template_page.py").is_file()


# --- run for real


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the pages speak of; the page on one's own data has been followed."""
    folder = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(folder)
    try:
        make_data(folder)
        for block in documented.blocks("yaml"):
            if block.file is not None:
                Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file).write_text(shortened(block))
        (folder / "atat").symlink_to(ROOT / "atat")
        for name in ("order.wav", "a.wav", "b.wav", "news.wav"):
            shutil.copy(named_model.example(), name)
        for name in (
            "exp/other/model",
            "egs/synthetic_tts/exp/tiny/books_tts/seed1/model",
            "MODEL",
        ):
            shutil.copytree(named_model.demo(), name)
        with zipfile.ZipFile(ROOT / "tests/packed/speechbert-0.1.0.zip") as archive:
            archive.extractall("exp/speechbert")
        for command in documented.commands():
            if command.page == OWN:
                run(command.line)
        # What other pages compare it with, and show a report of.
        shutil.copytree("exp/joint/decode_test", "exp/other/decode_test")
        shutil.copytree("exp/joint", "egs/synthetic_tts/exp/tiny/joint")
        yield folder
    finally:
        os.chdir(before)


def make_data(folder: Path) -> None:
    """Data dirs of all names that pages use, of tones."""
    tiny.make_spoken(folder / "data")
    shutil.rmtree(folder / "data" / "tokenizer")
    for name in ("dev", "other_speech", "noise"):
        shutil.copytree(folder / "data/test", folder / "data" / name)


def shortened(block: Block) -> str:
    """The confs of the page on one's own data with less to compute; any other file as it is."""
    if block.page != OWN:
        return block.text
    values = yaml.safe_load(block.text)
    short = SHORT if "model" in values else {"steps": 2}
    return yaml.safe_dump(merged(values, short))


@contextlib.contextmanager
def rightly_answered(data: str) -> Iterator[None]:
    """Inside, a data dir has the meanings that the model of the page hears in it, but for one.

    There is nothing to calibrate where no answer is right.
    """
    run(f"atat decode --model exp/joint/model --data {data} --task slu --well_formed --out heard")
    table = Path(data, "semantics")
    before, heard = table.read_text(), tables.read_table(Path("heard/hyp"))
    meant = tables.read_table(table) | dict(list(heard.items())[1:])
    table.write_text("".join(f"{name} {meant[name]}\n" for name in sorted(meant)))
    try:
        yield
    finally:
        table.write_text(before)


def run(line: str) -> str:
    """Run a command of atat in this process; returns what it printed."""
    words = shlex.split(line.split(" | ")[0])
    arguments = [part for word in words[1:] for part in expanded(word)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main(arguments)
        except SystemExit as ended:
            # 1 of `atat recognize`: understood nothing, as two steps of training do.
            assert ended.code in (None, 0) or (ended.code == 1 and arguments[0] == "recognize")
    return said.getvalue()


def expanded(word: str) -> list[str]:
    """As the shell: names of files that fit, else the word."""
    return sorted(glob.glob(word)) or [word] if "*" in word else [word]


@pytest.mark.parametrize("command", commands("run"))
def test_it_runs(command: Command, world: Path) -> None:
    if command.page == OWN:
        return  # done in `world`
    calibrating = command.line.startswith("atat calibrate")
    with rightly_answered("data/dev") if calibrating else contextlib.nullcontext():
        said = run(command.line)
    if command.line.startswith("atat recognize"):
        assert said.strip(), "no answer"


def test_the_page_on_ones_own_data_makes_what_it_says(world: Path) -> None:
    for made in ("lfb", "data/cmvn.ark", "data/tokenizer", "data/tokenizer_new", "exp/new/model"):
        assert (world / made).exists(), made
    assert (world / "exp/joint/decode_test/score.json").is_file()


@pytest.mark.parametrize("block", documented.blocks("python"), ids=lambda block: block.page)
def test_python_runs(block: Block, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page of devices loads is not exported here: the demo model answers for it."""
    signature = inspect.signature(runtime.Recognizer.load)

    def load(*given: Any, **options: Any) -> Recognizer:
        signature.bind(*given, **options)
        return Recognizer.load(named_model.demo(), **options)

    monkeypatch.setattr(runtime.Recognizer, "load", load)
    # Nor is a recogniser for the paragraph of a question.
    monkeypatch.setattr(timed_words, "heard", lambda *_: [Word("bennett", 0.1, 0.4)])
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    known = {"samples": np.zeros(44100, dtype=np.float32)}
    exec(compile(block.text, block.page, "exec"), known)


@pytest.mark.parametrize("command", commands("served"))
def test_it_is_answered(
    command: Command, world: Path, server: serving.Running, answerer: serving.Running
) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--data-binary", "-d", dest="body")
    options.add_argument("-H", dest="header")
    options.add_argument("url")
    given = options.parse_args(shlex.split(command.line)[1:])
    url = urllib.parse.urlsplit(given.url)
    body = None
    if given.body:
        at = given.body.startswith("@")
        body = Path(given.body[1:]).read_bytes() if at else given.body.encode()
    headers = dict([given.header.split(": ")]) if given.header else {}
    path = url.path + (f"?{url.query}" if url.query else "")
    one = answerer if "question=" in path else server
    status, answer, _ = one.ask("POST" if body else "GET", path, body, headers)
    assert status == 200 and answer


@pytest.fixture(scope="module")
def server() -> Iterator[serving.Running]:
    """The demo model behind HTTP."""
    with serving.serve(Service(Recognizer.load(named_model.demo()), "demo")) as running:
        yield running


@pytest.fixture(scope="module")
def answerer() -> Iterator[serving.Running]:
    """A model that answers questions behind HTTP."""
    with serving.questioned() as recognizer, serving.serve(Service(recognizer, "tiny")) as running:
        yield running


# --- read by its own parser


class Understood(Exception):
    """The command line was read; the command itself is not run."""


@pytest.mark.parametrize("command", commands("understood"))
def test_it_is_understood(command: Command, monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    fits = rule(command)[1]
    line = fits[1] if fits.re.pattern.startswith("arecord") else command.line
    words = shlex.split(line)
    if words[0] == "python":
        understand(words[3:], monkeypatch, runtime_main)
    else:
        understand(words[1:], monkeypatch)


def understand(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[list[str]], None] = main,
) -> None:
    """Have the parser of the command read its arguments, and look for the conf they name."""
    read = argparse.ArgumentParser.parse_args

    def read_only(parser: argparse.ArgumentParser, *args: Any) -> None:
        read(parser, *args)
        raise Understood

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", read_only)
        with pytest.raises(Understood):
            command(arguments)
    for option, value in zip(arguments, arguments[1:]):
        if option == "--config" and "mine" not in value:
            # Recipes copy their confs, which may lie in folders of conf, to exp/conf.
            made = re.sub(r"^exp[^/]*/conf/", "conf/**/", value)
            assert Path(value).exists() or list(ROOT.glob(f"egs/*/{made}")), value


@pytest.mark.parametrize("command", commands("torchrun"))
def test_it_is_understood_on_several_gpus(
    command: Command, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    from torch.distributed.run import get_args_parser

    words = shlex.split(command.line)
    given = get_args_parser().parse_args(words[words.index("torch.distributed.run") + 1 :])
    assert given.module and given.training_script == "atat"
    understand(given.training_script_args, monkeypatch)


@pytest.mark.parametrize("command", commands("recipe"))
def test_the_recipe_understands_it(command: Command, tmp_path: Path) -> None:
    """With --help at the end, a recipe reads and checks all options and runs nothing."""
    program, *words = shlex.split(command.line)
    path = ROOT / program
    if program.startswith("./"):
        path = (ROOT / command.page).parent / program
    models_of = declared(path, "model_option")
    given: list[str] = []
    for word in (word for word in words if word != "..."):
        last = given[-1] if given else ""
        # A model that some other command makes; GPUs that are not here.
        word = str(named_model.demo()) if last.removeprefix("--") in models_of else word
        given.append("0" if last == "--ngpu" else word)
    done = subprocess.run([path, *given, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def declared(recipe: Path, kind: str) -> set[str]:
    """Options of this kind, of the recipe and of what it may source."""
    text = recipe.read_text() + (ROOT / "utils/stbert.sh").read_text()
    return set(re.findall(rf"^ *{kind} (\w+)", text, re.MULTILINE))


@pytest.mark.parametrize("command", commands("script"))
def test_the_script_is_there_and_knows_its_options(command: Command) -> None:
    words = shlex.split(command.line)
    while "=" in words[0]:
        assert words[0].split("=")[0] in ("PIP_NO_INDEX", "PIP_FIND_LINKS")
        words.pop(0)
    if words[:2] == ["utils/in_environment.sh", "python"]:
        del words[:2]
    script = ROOT / words[0]
    assert os.access(script, os.X_OK) or script.suffix == ".py", script
    text = script.read_text()
    if script.name == "bench.sh":
        text += "".join(path.read_text() for path in ROOT.glob("utils/bench/*.py"))
    for word in words[1:]:
        if word.startswith("--"):
            assert word in text, word
        elif word.startswith(("tests/", "utils/")):
            assert (ROOT / word).exists()


@pytest.mark.parametrize("command", commands("linter"))
def test_the_linter_knows_its_options(command: Command) -> None:
    program, *arguments = shlex.split(command.line)
    tool = Path(program).name
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments[:-1], "--help"], stdout=subprocess.PIPE
    )
    assert done.returncode == 0
    assert all((ROOT / word).exists() for word in arguments[-1:])


@pytest.mark.parametrize("command", commands("pip"))
def test_pip_understands_it(command: Command) -> None:
    from pip._internal.commands import create_command

    words = shlex.split(command.line)
    name, *arguments = words[words.index("pip") + 1 :] if "pip" in words else words[1:]
    options, left = create_command(name).parse_args(arguments)
    assert left


# --- YAML


@pytest.mark.parametrize(
    "block", documented.blocks("yaml"), ids=lambda block: f"{block.page}: {block.file}"
)
def test_yaml_is_accepted(block: Block) -> None:
    """With the keys of its own system; a part of a conf, within the conf on one's own data."""
    values = yaml.safe_load(block.text)
    if "tables" in values:
        assert config.from_dict(values, Report, block.page).tables
    elif "intents" in values:
        assert block.file  # its commands are run
    elif block.file == "cluster.yaml":
        assert config.from_dict(values, ClusterSettings, block.page).train.gpus
    elif block.file is None:
        own = next(each for each in documented.blocks("yaml") if each.page == OWN)
        config.from_dict(merged(yaml.safe_load(own.text), values), TrainSettings, block.page)
    else:
        name = values.get("system", "joint")
        if "model" not in values and name == "joint":
            values.setdefault("cmvn", "of the model it starts from")
        settings = registry.find(name, block.page).settings
        assert isinstance(config.from_dict(values, settings, block.page), RunSettings)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As `base: other.yaml` does."""
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(both.get(key, {}), value) if isinstance(value, dict) else value
    return both
