"""What decoding leaves behind and reads back: whole, or told to be made again; cut or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.datadir import tables
from atat.engine import decode, model_folder
from atat.nn.beam_search import SearchOptions
from atat.scoring import score_command
from atat.systems.joint.recognizer import Recognizer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "test"
    tiny.make_data(folder, 8)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("exp") / "model"
    model_folder.save(path, tiny.packed(pairs=[("", "IN:PLAY")]))
    return path


def run(model: Path, data: Path, out: Path, *more: str, task: str = "nlu") -> None:
    arguments = ["--model", str(model), "--data", str(data), "--task", task, "--out", str(out)]
    decode.main([*arguments, "--nj", "1", *more])


def test_a_decoding_whose_description_is_torn_is_made_again(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(model, data, out)
    whole = (out / "decode.json").read_text()
    run(model, data, out)
    assert "finished before" in capsys.readouterr().out
    for torn in (whole[: len(whole) // 2], "", "[]", "{}"):
        (out / "decode.json").write_text(torn)
        (out / "hyp").write_text("")
        run(model, data, out)
        assert "finished before" not in capsys.readouterr().out
        assert json.loads((out / "decode.json").read_text())["utterances"] == 8
        assert len(tables.read_table(out / "hyp")) == 8


def test_an_option_of_later_days_does_not_undo_a_decoding(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(model, data, out)
    about = json.loads((out / "decode.json").read_text())
    about["options"] = {k: v for k, v in about["options"].items() if k not in ("values", "bridge")}
    (out / "decode.json").write_text(json.dumps(about))
    run(model, data, out)
    assert "finished before" in capsys.readouterr().out
    run(model, data, out, "--well_formed", "--values", str(data))
    assert "finished before" not in capsys.readouterr().out


def test_an_interrupted_decoding_with_a_torn_note_begins_again(
    model: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "decode.partial.json").write_text('{"options": {"mo')
    (tmp_path / "nbest.partial.jsonl").write_text('{"utt": "of another decoding", "nbest": []}\n')
    run(model, data, tmp_path)
    assert "of another decoding" not in (tmp_path / "nbest.jsonl").read_text()


@pytest.mark.parametrize(
    "option, smallest", [("beam", 1), ("nbest", 1), ("max_length", 3), ("extra_length", 3)]
)
def test_a_search_that_finds_nothing_is_refused_before_anything_is_read(
    tmp_path: Path, option: str, smallest: int
) -> None:
    nowhere, given = tmp_path / "nowhere", f"--{option}={smallest - 1}"
    with pytest.raises(InputError, match=f"^--{option} is {smallest - 1}; .* {smallest}"):
        run(nowhere, nowhere, tmp_path / "out", given, "--well_formed")


@pytest.mark.parametrize("torn", ['[["", "IN:PL', "", "{}x", '["", "a"]', "[1]", '{"a": 1}'])
def test_torn_trees_json_of_a_packed_model_is_named(model: Path, tmp_path: Path, torn: str) -> None:
    assert model_folder.load(model).pairs == {("", "IN:PLAY")}
    copy = shutil.copytree(model, tmp_path / "model")
    (copy / "trees.json").write_text(torn)
    with pytest.raises(InputError, match=r"model/trees\.json: damaged.*copy the whole folder"):
        model_folder.load(copy)
    (copy / "SHA256SUMS").unlink()  # as a model of before has none
    with pytest.raises(InputError, match=r"model/trees\.json.*copy the packed model again"):
        model_folder.load(copy)


def test_outputs_that_the_length_limit_ended_are_counted_and_said(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights at random repeat themselves until the limit, whatever it is."""
    run(model, data, tmp_path / "cut", "--max_length", "3", "--beam", "1")
    said = capsys.readouterr().out
    entries = [json.loads(line) for line in (tmp_path / "cut/nbest.jsonl").open()]
    cut = [entry["nbest"][0] for entry in entries if entry["nbest"][0].get("at_limit")]
    assert cut and all(one["length"] == 3 for one in cut)
    assert json.loads((tmp_path / "cut/decode.json").read_text())["at_limit"] == len(cut)
    assert f"{len(cut)} of 8 outputs ended at the length limit" in said
    score_command.main(["--data", str(data), "--decoded", str(tmp_path / "cut")])
    assert f"note: {len(cut)} of the outputs ended" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["nlu", "slu"])
def test_the_limit_follows_from_the_source_and_what_is_allowed_beyond(
    model: Path, data: Path, task: str
) -> None:
    found = model_folder.load(model)
    never_ends = found.tokenizer.eos_id

    def longest(source: np.ndarray, extra: int) -> int:
        options = SearchOptions(beam=1, extra_length=extra, max_length=500)
        recognizer = Recognizer(found, options=options)
        weight = recognizer._model.decoder
        original = weight.step

        def step(tokens: torch.Tensor, state: object) -> torch.Tensor:
            logits = original(tokens, state).clone()
            logits[:, never_ends] = -1e4
            return logits

        weight.step = step
        (best,) = recognizer.recognize([source], task)[0].nbest
        assert best.at_limit
        return best.length

    source = np.array([5, 6, 7]) if task == "nlu" else np.zeros((41, 16), np.float32)
    suggested = 4 * 3 if task == "nlu" else 11  # states: a quarter of the frames
    assert longest(source, 30) == suggested + 30
    assert longest(source, 3) == suggested + 3
