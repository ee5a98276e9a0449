"""YAML of values into typed dataclasses: what is wrong is named with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from atat.base import config, json_file
from atat.base.errors import InputError
from atat.engine import registry
from atat.systems.joint.settings import TrainSettings

GOOD = """
tokenizer: tok
steps: 10
train: [{data: data/a, task: slu}, {data: data/b, task: nlu, weight: 2}]
optim: {factor: 2, betas: [0.9, 0.99]}
init: {unfreeze: [[500, 0], [100, 0.2]]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "conf.yaml"
    path.write_text(text)
    return path


def test_values_defaults_and_overrides(tmp_path):
    settings = config.load(write(tmp_path, GOOD), TrainSettings, ["optim.factor=0.5", "seed=3"])
    assert settings.train[1].weight == 2.0 and settings.train[0].weight == 1.0
    assert settings.optim.factor == 0.5 and settings.optim.betas == (0.9, 0.99)
    assert settings.seed == 3 and settings.model.width == 256
    assert settings.init.unfreeze == ((500.0, 0.0), (100.0, 0.2))


def test_bert_is_nobodys_by_default_and_ones_by_name(tmp_path):
    text = config.load(write(tmp_path, GOOD), TrainSettings).model.text_encoder
    assert text is not None and (text.kind, text.bert) == ("small", None)
    asked = "model: {text_encoder: {kind: bert, bert: bert-base-uncased}}"
    text = config.load(write(tmp_path, GOOD + asked), TrainSettings).model.text_encoder
    assert text is not None and (text.kind, text.bert) == ("bert", "bert-base-uncased")


def test_written_is_read(tmp_path):
    settings = config.load(write(tmp_path, GOOD), TrainSettings)
    config.save(tmp_path / "again.yaml", settings)
    assert config.load(tmp_path / "again.yaml", TrainSettings) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stepz: 5", r"conf.yaml: unknown key `stepz`; did you mean `steps`\?"),
        ("batch: {example: 5}", r"unknown key `batch.example`; did you mean `examples`\?"),
        ("steps: ten", r"key `steps` is 'ten' \(str\); expected a whole number"),
        ("steps: 1.5", r"key `steps` is 1.5 \(float\); expected a whole number"),
        ("seed: true", r"key `seed` is True \(bool\); expected a whole number"),
        ("optim: {peak: 1e-3}", r"`optim.peak`: YAML reads 1e-3 as text.*write 1.0e-3"),
        ("optim: {schedule: noan}", "`optim.schedule` is 'noan'.*expected one of noam, linear"),
        ("train: {data: a}", "key `train` is .*expected a list"),
        ("train: []", "key `train` is empty"),
        ("train: [{data: a, task: slx}]", "task `slx` is unknown; known tasks: asr, slu, nlu, mlm"),
        ("train: [{data: a}]", r"key `train\[0\].task` is missing"),
        ("augment: {speeds: [0.9]}", "set `features: wav`"),
        ("model: {audio_encoder: {kind: espnet}}", "needs espnet_name"),
        ("model: {width: 100, decoder: {heads: 3}}", r"width is 100; .*decoder.heads"),
        ("model: {decoder: {dropout: 1.0}}", "dropout is 1.0; expected at least 0 and below 1"),
        ("optim: {label_smoothing: -0.1}", "label_smoothing is -0.1"),
        ("mask_words: 7", "mask_words is 7.0; expected above 0, at most 1"),
        ("workers: -2", "workers is -2; expected at least 0"),
        ("optim: {peak: .nan}", r"`optim.peak` is nan \(float\); expected a finite number"),
        ("optim: {clip: .inf}", r"`optim.clip` is inf .*expected a finite number"),
        ("optim: {betas: [0.9, -.inf]}", r"`optim.betas\[1\]` is -inf .*expected a finite number"),
        ("optim: {peak: 1" + 400 * "0" + "}", "`optim.peak` is 1000.*expected a finite number"),
        ("init: {unfreeze: [[500, .nan]]}", r"`init.unfreeze\[0\]\[1\]` is nan"),
        (
            "model: {audio_encoder: {espnet_options: {a: {b: [1, .nan]}}}}",
            r"`model.audio_encoder.espnet_options.a.b\[1\]` is nan .*expected a finite number",
        ),
        ("model: {text_encoder: {kind: bert}}", "in `model.text_encoder`: kind bert needs.*`bert`"),
        ("steps: [", "conf.yaml:.*not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    key = change.split(":")[0]
    kept = [line for line in GOOD.splitlines() if not line.startswith(f"{key}:")]
    path = write(tmp_path, "\n".join([*kept, change]))
    with pytest.raises(InputError, match=message):
        config.load(path, TrainSettings)


def test_a_missing_file_and_a_bad_override_are_named(tmp_path):
    with pytest.raises(InputError, match="no such configuration file"):
        config.load(tmp_path / "none.yaml", TrainSettings)
    with pytest.raises(InputError, match="`optim.factor` is nan"):
        config.load(write(tmp_path, GOOD), TrainSettings, ["optim.factor=.nan"])
    with pytest.raises(InputError, match="expected key=value"):
        config.load(write(tmp_path, GOOD), TrainSettings, ["steps"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"steps: 5\ntokenizer: caf\xe9\n", "conf.yaml:2: byte 0xe9 is not UTF-8.*iconv"),
        (b"\x89PNG\r\n\x1a\n", "conf.yaml:1: byte 0x89 is not UTF-8"),
        (b"steps: 5\0", "conf.yaml: not valid YAML: unacceptable character"),
        (b"steps: 2026-13-45", "conf.yaml: not valid YAML: month must be in 1..12"),
        (b"steps: " + 5000 * b"1", "conf.yaml: not valid YAML: Exceeds the limit"),
        (5000 * b"[", "conf.yaml: not valid YAML: "),
        (b"a: &a {b: [*a]}", r"conf.yaml:1: .*what \*a names contains itself"),
        (b"a: &a [[*a]]", r"conf.yaml:1: .*what \*a names contains itself"),
        (b"optim: {peak: 1.0, peak: 3.0}", "conf.yaml:1: .*key `peak` stands here again"),
        (
            b"steps: 5\noptim:\n  peak: 1.0\n  clip: 2\n  peak: 3.0\n",
            "conf.yaml:5: .*key `peak` stands here again, first in line 3; keep one of them",
        ),
    ],
)
def test_what_is_no_yaml_is_one_line(tmp_path, content, message):
    (tmp_path / "conf.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        config.load(tmp_path / "conf.yaml", TrainSettings)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_yaml_and_neither_is_every_value(tmp_path):
    with pytest.raises(InputError, match="is a folder; expected a YAML file"):
        config.load(tmp_path, TrainSettings)
    with pytest.raises(InputError, match="--set seed=2026-13-45: .* is not valid YAML"):
        config.load(write(tmp_path, GOOD), TrainSettings, ["seed=2026-13-45"])


@pytest.mark.parametrize("text", ["1e-3", "2E5", "1.5e+4", ".5e1", "-.5", "+.5e3"])
def test_the_number_proposed_is_one_that_yaml_reads(text):
    import yaml

    assert yaml.safe_load(config._yaml_float(text)) == float(text)


def test_an_override_changes_what_it_names_and_nothing_that_shares_its_mapping(tmp_path):
    path = write(tmp_path, "a: &a {k: 1, deep: {x: 1}}\nb: *a\nc:\n  <<: *a\n  k: 3\n")
    found = config.read(path, ["a.k=2", "a.deep.x=2", "a.new.y={z: 1}"])
    old = {"k": 1, "deep": {"x": 1}}
    assert found.values == {
        "a": {"k": 2, "deep": {"x": 2}, "new": {"y": {"z": 1}}},
        "b": old,
        "c": {"k": 3, "deep": {"x": 1}},
    }
    assert found.layers[-1] == (str(path), {"a": old, "b": old, "c": {"k": 3, "deep": {"x": 1}}})
    assert config.read_yaml(path, ["a={k: 5}"])["a"] == {"k": 5}  # as a whole


def test_a_merged_key_may_be_given_again(tmp_path):
    text = "c: {<<: [&b {<<: &a {x: 1, y: 1}, y: 2}, {z: 3, x: 9}], z: 4}\nd: {<<: *b, x: 5}"
    found = config.read_yaml(write(tmp_path, text))
    assert found == {"c": {"x": 1, "y": 2, "z": 4}, "d": {"x": 5, "y": 2}}


def test_a_number_that_python_does_not_read_is_no_traceback(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ' + 5000 * "1" + "}")
    with pytest.raises(InputError, match="a.json: holds a number of thousands of digits; make it"):
        json_file.read_json(tmp_path / "a.json", "make it again")


def test_a_system_that_is_not_known_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_registered", {})  # without those of other tests
    conf = tmp_path / "train.yaml"
    conf.write_text("system: jiont\n")
    with pytest.raises(InputError) as error:
        registry.load_settings(conf)
    message = str(error.value)
    assert message.startswith(
        f"{conf}: system `jiont` is not known; did you mean `joint`? There are: distill, joint, "
        "lugosch, speechbert, stbert."
    )
    assert "ATAT_SYSTEMS" in message and "Correct the key `system`" in message
