"""A YAML file over its base: what wins, what is refused, and what a run keeps of it."""

from __future__ import annotations

import copy
import dataclasses
import random
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import yaml

from atat.base import config, yaml_file
from atat.base.errors import InputError
from atat.base.yaml_file import merge
from atat.engine import model_folder, registry, run_folder
from atat.prepare import conf_copy
from atat.systems.joint import miniature_conf, packed
from atat.systems.joint.settings import TrainSettings

EGS = Path(__file__).parent.parent / "egs"
BASE = """
tokenizer: tok
steps: 10
train: [{data: data/a, task: slu}, {data: data/b, task: nlu}]
model: {width: 64, decoder: {layers: 2, heads: 2}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("shared.yaml").write_text(BASE)
    return tmp_path


def write(text: str, path: str = "conf.yaml") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def some_mapping(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """Nested mappings with numbers, lists and nulls, few keys so that two of them collide."""

    def value() -> Any:
        if depth and rng.random() < 0.5:
            return some_mapping(rng, depth - 1)
        return rng.choice([None, rng.randint(0, 9), [rng.randint(0, 9)], [{"a": 1}]])

    return {key: value() for key in "abcd" if rng.random() < 0.7}


def leaves(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found = {}
    for key, value in values.items():
        nested = isinstance(value, dict) and value
        found |= leaves(value, (*prefix, key)) if nested else {(*prefix, key): value}
    return found


@pytest.mark.parametrize("seed", range(50))
def test_own_values_win_and_all_others_stay(seed: int) -> None:
    rng = random.Random(seed)
    base, own = some_mapping(rng), some_mapping(rng)
    before = copy.deepcopy((base, own))
    merged = merge(base, own)
    assert (base, own) == before
    assert merge(base, {}) == base and merge({}, own) == own
    assert merge(merged, own) == merged
    mine, found = leaves(own), leaves(merged)
    for path, value in mine.items():
        if value != {}:  # an empty mapping changes nothing
            assert found[path] == value
    for path, value in leaves(base).items():
        beside = any(path[: len(p)] == p or p[: len(path)] == path for p in mine)
        assert beside or found[path] == value
    assert set(found) <= set(mine) | set(leaves(base))


def test_mappings_are_merged_lists_and_null_replace() -> None:
    conf = write(
        "base: shared.yaml\ntrain: [{data: data/c, task: asr}]\n"
        "model: {text_encoder: null, decoder: {layers: 3}}\n"
    )
    settings = config.load(conf, TrainSettings)
    assert [source.data for source in settings.train] == ["data/c"]
    assert (settings.model.width, settings.model.text_encoder) == (64, None)
    assert (settings.model.decoder.layers, settings.model.decoder.heads) == (3, 2)
    assert config.load(conf, TrainSettings, ["model.decoder.heads=1"]).model.decoder.heads == 1


def test_a_base_is_looked_for_beside_the_file_that_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("base: ../middle.yaml\nsteps: 12\n", "small/conf.yaml")
    write("base: shared.yaml\nsteps: 11\nseed: 7\n", "middle.yaml")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    settings = config.load("../small/conf.yaml", TrainSettings)
    assert (settings.steps, settings.seed, settings.tokenizer) == (12, 7, "tok")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("base: none.yaml", r"^conf.yaml: its base none.yaml does not exist; .*relative"),
        ("base: .", r"^conf.yaml: its base \. is a folder"),
        ("base: 3", r"^conf.yaml: key `base` is 3 \(int\); expected the path"),
        ("base: [a.yaml, b.yaml]", "^conf.yaml: key `base` is .*expected the path of a YAML file"),
        ("base:", "^conf.yaml: key `base` is None"),
        ("base: conf.yaml", r"^conf.yaml: its base conf.yaml .*\(conf.yaml -> conf.yaml\)"),
        ("base: x/../conf.yaml", r"^conf.yaml: its base conf.yaml .*based on conf.yaml"),
        ("base: around.yaml", r"^around.yaml: its base conf.yaml is itself based on around.yaml "
         r"\(conf.yaml -> around.yaml -> conf.yaml\); remove the key `base`"),
        ("base: torn.yaml", r"^torn.yaml:2: not valid YAML"),
        ("base: list.yaml", "^list.yaml: expected `key: value` lines, found a list"),
        ("base: wrong.yaml", "^wrong.yaml: unknown key `optim.warmups`; did you mean `warmup`"),
        ("base: type.yaml", "^type.yaml: key `optim.peak` is 'high' .*expected a number"),
        ("base: type.yaml\noptim: {peak: low}", "^conf.yaml: key `optim.peak` is 'low'"),
        ("base: shared.yaml\nstepz: 3", "^conf.yaml: unknown key `stepz`"),
        ("base: shared.yaml\nmodel: {decoder: {heads: 5}}",
         r"^conf.yaml over shared.yaml: in `model`: width is 64"),
        ("base: source.yaml", r"^source.yaml: key `train\[0\].task` is missing"),
        ("base: shared.yaml\nmodel: {base: x.yaml}", "^conf.yaml: unknown key `model.base`"),
        ("base: nothing.yaml", "^conf.yaml over nothing.yaml: key `train` is missing"),
        ("base: knot.yaml", r"^knot.yaml:1: .*what \*a names contains itself; write it out"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_in_which_they_stand(own: str, message: str) -> None:
    write("base: conf.yaml", "around.yaml")
    write("steps: 3\ntrain: [", "torn.yaml")
    write("- 1", "list.yaml")
    write(BASE + "optim: {warmups: 3}", "wrong.yaml")
    write(BASE + "optim: {peak: high}", "type.yaml")
    write("base: shared.yaml\ntrain: [{data: data/a}]", "source.yaml")
    write("", "nothing.yaml")
    write("a: &a {b: *a}", "knot.yaml")
    with pytest.raises(InputError, match=message) as caught:
        config.load(write(own), TrainSettings)
    assert "\n" not in str(caught.value)


def test_a_mistake_on_the_command_line_is_said_to_be_there() -> None:
    conf = write("base: shared.yaml")
    with pytest.raises(InputError, match="^--set optim.peak=high: key `optim.peak` is 'high'"):
        config.load(conf, TrainSettings, ["steps=3", "optim.peak=high"])
    with pytest.raises(InputError, match="^--set base=a.yaml: unknown key `base`"):
        config.load(conf, TrainSettings, ["base=a.yaml"])
    with pytest.raises(InputError, match="^conf.yaml over shared.yaml: steps is 0"):
        config.load(conf, TrainSettings, ["steps=0"])


def test_a_run_keeps_the_whole_and_notices_a_change_of_the_base() -> None:
    conf, run = write("base: shared.yaml\nsteps: 20\n"), Path("exp")
    settings = config.load(conf, TrainSettings)
    run.mkdir()
    run_folder.open_for(run, settings)
    (run / run_folder.START).mkdir()  # it has begun
    assert "base" not in yaml_file.read(run / "config.yaml", bases=False).values
    assert config.load(run / "config.yaml", TrainSettings) == settings
    Path("shared.yaml").write_text(BASE.replace("tok\n", "tok # a comment\n"))
    run_folder.open_for(run, config.load(conf, TrainSettings))
    Path("shared.yaml").write_text(BASE.replace("width: 64", "width: 32"))
    with pytest.raises(InputError, match="exp: begun with `model` = .*'width': 64.*'width': 32"):
        run_folder.open_for(run, config.load(conf, TrainSettings))


def test_copies_need_no_base() -> None:
    conf = write("base: shared.yaml\ntokenizer: '{fold}/tok'\n")
    conf_copy.main(
        [
            conf,
            "--out",
            "copies",
            "--move",
            "data",
            "data_mini",
            "--fill",
            "fold",
            "it's #1: {fold}",
            "--set",
            "model.decoder.layers=3",
        ]
    )
    assert yaml.safe_load(Path("copies/conf.yaml").read_text()) == {
        "tokenizer": "it's #1: {fold}/tok",
        "steps": 10,
        "train": [{"data": "data_mini/a", "task": "slu"}, {"data": "data_mini/b", "task": "nlu"}],
        "model": {"width": 64, "decoder": {"layers": 3, "heads": 2}},
    }
    miniature_conf.main([conf, "--out", "mini", "--move", "data", "data_mini"])
    Path("shared.yaml").unlink()
    small = config.load("mini/conf.yaml", TrainSettings)
    assert [source.data for source in small.train] == ["data_mini/a", "data_mini/b"]


@pytest.mark.parametrize("program", [conf_copy, miniature_conf])
@pytest.mark.parametrize(("old", "new"), [("data/a", "all"), ("data/a/", "all/"), ("data/", "/c")])
def test_a_folder_is_moved_with_what_is_below_it(program: Any, old: str, new: str) -> None:
    program.main([write(BASE), "--out", "out", "--move", old, new])
    moved = new.rstrip("/") + ("/a" if old == "data/" else "")
    beside = f"{new}/b" if old == "data/" else "data/b"
    assert [one["data"] for one in config.read_yaml("out/conf.yaml")["train"]] == [moved, beside]


def test_a_folder_may_be_called_like_a_task_or_a_system() -> None:
    conf = "{system: lugosch, train: [{data: acoustic, task: acoustic}], init: {model: lugosch}}"
    for old in ("acoustic", "lugosch"):
        conf_copy.main([write(conf), "--out", "out", "--move", old, "/big"])
        conf = Path("out/conf.yaml").read_text()
    assert yaml.safe_load(conf) == {
        "system": "lugosch",
        "train": [{"data": "/big", "task": "acoustic"}],
        "init": {"model": "/big"},
    }
    with pytest.raises(InputError, match="no path in conf.yaml is intent or below it"):
        conf_copy.main([write("train: [{task: intent}]"), "--out", "no", "--move", "intent", "x"])


def test_keys_of_names_are_known_to_be_no_folders() -> None:
    systems = sorted(path.parent.name for path in (EGS.parent / "atat/systems").glob("*/system.py"))
    assert len(systems) >= 5
    found = set()
    for name in systems:
        found |= set(keys_of_names(registry.find(name, "system").settings))
    assert found | {"system", "task", "espnet_name", "objectives"} == conf_copy.NAMES


def keys_of_names(settings: Any) -> Iterator[str]:
    """The keys of settings, and of those in them, whose values are some of a list (Literal)."""
    for key, kind in typing.get_type_hints(settings).items():
        kinds = [kind]
        while kinds:
            kind = kinds.pop()
            kinds += typing.get_args(kind) if typing.get_origin(kind) is not Literal else []
            if typing.get_origin(kind) is Literal:
                yield key
            elif dataclasses.is_dataclass(kind):
                yield from keys_of_names(kind)


@pytest.mark.parametrize("program", [conf_copy, miniature_conf])
def test_copies_that_cannot_be_meant_are_refused_before_any_is_written(program: Any) -> None:
    one, two = write(BASE), write("base: ../shared.yaml", "b/conf.yaml")
    with pytest.raises(InputError, match="--move dat x: no path in conf.yaml is dat or below it"):
        program.main([one, "--out", "out", "--move", "dat", "x"])
    with pytest.raises(InputError, match="b/conf.yaml: another conf is called conf.yaml, too"):
        program.main([one, two, "--out", "out"])
    assert not Path("out").exists()
    program.main([one, "--out", "out", "--move", "data", "data"])  # as recipes do


def test_a_packed_model_has_no_base(folder: Path) -> None:
    """Its loader reads no file outside its folder."""
    write("version: 1\ntasks: [slu]", "other.yaml")
    write("base: ../other.yaml\nversion: 1", "model/config.yaml")
    about = model_folder._read_config(folder / "model")
    assert "tasks" not in about
    with pytest.raises(InputError, match="model/config.yaml: unknown key `base`"):
        packed.load(folder / "model", about, torch.device("cpu"))


def with_bases() -> list[Path]:
    return sorted(p for p in EGS.glob("*/conf/**/*.yaml") if "base" in own_values(p))


def own_values(path: Path) -> dict[str, Any]:
    return yaml_file.read(path, bases=False).values if path.name != "grammar.yaml" else {}


@pytest.mark.parametrize("path", with_bases(), ids=lambda path: str(path.relative_to(EGS)))
def test_a_conf_says_only_what_differs_from_its_base(path: Path) -> None:
    own = own_values(path)
    base = config.read_yaml(path.parent / own.pop("base"))
    repeated = [
        names
        for names, value in leaves(own).items()
        if names in leaves(base) and leaves(base)[names] == value
    ]
    assert not repeated


def test_what_is_not_a_run_is_the_base_of_some() -> None:
    named = {(path.parent / own_values(path)["base"]).resolve() for path in with_bases()}
    partial = [p.resolve() for p in EGS.glob("*/conf/**/base_*.yaml")]
    assert partial and set(partial) <= named
    lacking = ["steps=1", "train=[{data: a, task: slu}]", "tokenizer=tok"]  # of a base of joint's
    for path in named:
        is_joint = yaml_file.read(path).values.get("system", "joint") == "joint"
        registry.load_settings(path, lacking if is_joint else [])
