"""bf16 where there is hardware for it, fp32 elsewhere; what was begun in one goes on in it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from atat.base import config, precision
from atat.base.errors import InputError
from atat.datadir import ark, cmvn, tables
from atat.engine import checkpoint, decode, model_folder, partial
from atat.engine.settings import BatchSettings, SourceSettings
from atat.engine.train import main, train
from atat.nn import int8
from atat.systems.joint.recognizer import Recognizer
from atat.systems.joint.settings import TrainSettings

AVX2 = {"flags": "sse2 fma avx avx2"}
AVX512 = {"flags": "sse2 fma avx avx2 avx512f avx512_vnni"}
WITH_BF16 = {"flags": "sse2 fma avx avx2 avx512f avx512_bf16"}
AMX = {"flags": "sse2 fma avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile"}
OLD_ARM, ARM = {"Features": "fp asimd"}, {"Features": "fp asimd bf16 i8mm"}


def pretend(patch: pytest.MonkeyPatch, facts: dict[str, str], **environment: str) -> None:
    for name in precision.CAPS:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.setattr(precision, "processor_facts", lambda: facts)


@pytest.mark.parametrize(
    ("facts", "found", "because"),
    [
        (AVX2, "fp32", "none of amx_bf16"),
        (AVX512, "fp32", "none of amx_bf16"),  # emulated there, too
        (WITH_BF16, "bf16", "has avx512_bf16"),
        (AMX, "bf16", "has amx_bf16"),
        (OLD_ARM, "fp32", "none of"),
        (ARM, "bf16", "has bf16"),
        ({}, "fp32", "does not say"),
    ],
)
def test_auto_is_what_the_processor_has(monkeypatch, facts, found, because):
    pretend(monkeypatch, facts)
    resolved = precision.resolve("auto", "cpu")
    assert (resolved.name, resolved.slow) == (found, False) and because in resolved.reason
    assert precision.resolve("fp32").name == "fp32"  # asked for: as asked
    asked = precision.resolve("bf16", torch.device("cpu"))
    assert asked.name == "bf16" and asked.slow == (found == "fp32") and because in asked.reason


@pytest.mark.parametrize(
    ("cap", "found"),
    [
        ("AVX2", "fp32"),
        ("avx512_core_vnni", "fp32"),
        ("AVX2_VNNI_2", "fp32"),
        ("", "bf16"),
        ("AVX512_CORE_BF16", "bf16"),
        ("AVX512_CORE_FP16", "bf16"),
        ("AVX512_CORE_AMX", "bf16"),
        ("ALL", "bf16"),
        ("DEFAULT", "bf16"),
    ],
)
@pytest.mark.parametrize("name", precision.CAPS)
def test_instructions_that_onednn_is_kept_from_do_not_count(monkeypatch, name, cap, found):
    pretend(monkeypatch, AMX, **{name: cap})
    resolved = precision.resolve("auto")
    assert resolved.name == found and (found == "bf16" or f"{name}={cap}" in resolved.reason)


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_emulates_bf16_has_none(monkeypatch, native):
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "GPU")
    found = precision.resolve("auto", torch.device("cuda", 0))
    assert found.name == ("bf16" if native else "fp32") and found.reason.startswith("GPU has")


def test_other_names_and_devices(monkeypatch):
    pretend(monkeypatch, AMX)
    with pytest.raises(InputError, match="expected one of auto, fp32, bf16"):
        precision.resolve("fp16")
    assert precision.resolve("auto", "meta").name == "fp32"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("precision")
    tiny.make_data(folder / "train", 16)
    tiny.make_tokenizer().save(folder / "tokenizer")
    specs = tables.read_table(folder / "train" / "feats.scp").values()
    ark.write_matrix(folder / "cmvn.ark", cmvn.accumulate(map(ark.read, specs)))
    return folder


def run(corpus: Path, **changes: Any) -> TrainSettings:
    """A training whose precision is the default."""
    return replace(
        TrainSettings(
            tokenizer=str(corpus / "tokenizer"),
            cmvn=str(corpus / "cmvn.ark"),
            steps=2,
            workers=0,
            train=(SourceSettings(str(corpus / "train"), "slu"),),
            model=tiny.MODEL,
            checkpoint_every=1,
            batch=BatchSettings(examples=4, block=2),
        ),
        **changes,
    )


def about(folder: Path) -> tuple[str, str, str]:
    """What a training says of its precision: train.json, config.yaml, the log."""
    info = json.loads((folder / "train.json").read_text())
    log = (folder / "train.log").read_text().splitlines()
    said = [line for line in log if " precision " in line]
    return info["precision"], config.read_yaml(folder / "config.yaml")["precision"], said[-1]


def unfinished(folder: Path) -> None:
    """As it was when it was interrupted after a step."""
    (folder / "train.json").unlink()
    checkpoint.paths_in(folder)[-1].unlink()


def test_a_training_says_its_precision_and_goes_on_with_it(corpus, tmp_path, monkeypatch, capfd):
    for facts, name in ((AVX2, "fp32"), (AMX, "bf16")):
        pretend(monkeypatch, facts)
        train(run(corpus), tmp_path / name)
        *written, said = about(tmp_path / name)
        assert written == [name, name] and f"precision {name} (the processor has" in said
    # On the other machine each goes on as it was begun; where that is slow, it says so.
    capfd.readouterr()
    for facts, name, slow in ((AMX, "fp32", False), (AVX2, "bf16", True)):
        straight = model_folder.load(tmp_path / name / "model").model.state_dict()
        pretend(monkeypatch, facts)
        unfinished(tmp_path / name)
        train(run(corpus), tmp_path / name)
        *written, said = about(tmp_path / name)
        assert written == [name, name] and "as the run was begun" in said
        assert ("WARNING" in said and "emulated" in said) == slow
        assert ("emulated" in capfd.readouterr().err) == slow
        resumed = model_folder.load(tmp_path / name / "model").model.state_dict()
        assert all(torch.equal(resumed[k], straight[k]) for k in straight)
    # A finished run is finished on any machine, and no other precision may take its place.
    config.save(tmp_path / "conf.yaml", run(corpus))
    arguments = ["--config", str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "bf16")]
    main(arguments)
    with pytest.raises(InputError, match="begun with `precision` = bf16, now fp32"):
        main([*arguments, "--set", "precision=fp32"])


def test_bf16_asked_for_where_it_is_emulated_is_done_with_a_warning(
    corpus, tmp_path, monkeypatch, caplog
):
    pretend(monkeypatch, AVX512)
    train(run(corpus, precision="bf16"), tmp_path / "exp")
    assert about(tmp_path / "exp")[0] == "bf16"
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len([text for text in warned if "asked for, but the processor has none" in text]) == 1


@pytest.fixture(scope="module")
def model(corpus) -> Path:
    train(run(corpus, precision="fp32"), corpus / "exp")
    return corpus / "exp" / "model"


def test_a_recognizer_takes_what_the_processor_has_but_8_bits_stay_with_fp32(model, monkeypatch):
    found = model_folder.load(model)
    for facts, name in ((AVX2, "fp32"), (WITH_BF16, "bf16")):
        pretend(monkeypatch, facts)
        recognizer = Recognizer(found)
        assert recognizer.precision == name and "the processor has" in recognizer.resolved.reason
        frames = np.zeros((60, recognizer.mel_bins), dtype=np.float32)
        assert recognizer.recognize([frames], "slu")[0].nbest
        assert Recognizer(found, precision="fp32").precision == "fp32"
    found.weights = "int8"
    int8.convert(found.model)
    assert Recognizer(found).precision == "fp32"


def test_a_decoding_says_its_precision_and_is_finished_or_goes_on_in_it(
    corpus, model, tmp_path, monkeypatch, capsys
):
    arguments = ["--model", str(model), "--data", str(corpus / "train"), "--out", str(tmp_path)]
    arguments += ["--nj", "1", "--max_length", "5", "--max_frames", "400"]
    pretend(monkeypatch, AMX)
    decode.main(arguments)
    told = json.loads((tmp_path / "decode.json").read_text())
    assert told["precision"] == told["options"]["precision"] == "bf16"
    assert "precision bf16 (the processor has amx_bf16)" in capsys.readouterr().out
    pretend(monkeypatch, AVX2)
    decode.main(arguments)
    assert "finished before" in capsys.readouterr().out
    # Interrupted: the rest is decoded as the beginning was.
    nbest = (tmp_path / "nbest.jsonl").read_text().splitlines()
    entries = [{**json.loads(line), "seconds": 1.0} for line in nbest]
    key = {"options": told["options"], "inputs": told["inputs"]}
    (tmp_path / partial.ABOUT_PARTIAL).write_text(json.dumps(key))
    (tmp_path / partial.PARTIAL).write_text("".join(json.dumps(e) + "\n" for e in entries[:9]))
    (tmp_path / "decode.json").unlink()
    decode.main(arguments)
    assert json.loads((tmp_path / "decode.json").read_text())["precision"] == "bf16"
    # Told outright, it is decoded in that.
    decode.main([*arguments, "--precision", "fp32"])
    assert json.loads((tmp_path / "decode.json").read_text())["precision"] == "fp32"
    assert "precision fp32 (asked for)" in capsys.readouterr().out
