"""A model's card, and its way to the hub and back, against a stand-in of the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hub
import pytest
import tiny
import yaml

from atat import Recognizer
from atat.apps import publish
from atat.base import config, encoder_files
from atat.base.errors import InputError
from atat.engine import (
    card_command,
    decode,
    model_card,
    model_folder,
    named_model,
    pack,
    quantize,
    train,
)
from atat.scoring import score_command

PACKED = Path(__file__).parent / "packed"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with zipfile.ZipFile(next(PACKED.glob("joint-*.zip"))) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "model"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training with a scored decoding beside its model."""
    root = tmp_path_factory.mktemp("run")
    corpus = tiny.make_corpus(root / "corpus")
    (corpus / "train/license").write_text("CC0-1.0\n")
    (corpus / "train/spk2voice").write_text("spk0 espeak:en-us\nspk1 piper:joe\nspk2 flite:slt\n")
    conf = root / "conf.yaml"
    config.save(conf, tiny.training(corpus))
    train.main(["--config", str(conf), "--out", str(root / "exp")])
    out = root / "exp/decode_dev"
    data = ["--data", str(corpus / "dev")]
    decode.main(["--model", str(root / "exp/model"), *data, "--task", "slu", "--out", str(out)])
    score_command.main([*data, "--decoded", str(out)])
    return root / "exp"


def head(model: Path) -> dict:
    return yaml.safe_load((model / "README.md").read_text().split("---\n")[1])


# --- the card


def test_a_trained_model_says_what_it_learned_from_and_later_what_it_scored(run: Path) -> None:
    trained = model_card.read(run / "model")
    assert trained is not None and trained.results == ()
    (data,) = trained.data
    assert (data.data, data.license) == ("corpus/train", "CC0-1.0")
    assert set(data.tasks) == {"asr", "slu", "nlu", "mlm"}
    assert data.voices["piper:joe"] == "CC0-1.0" and "GPL" in data.voices["espeak"]
    assert card_command.write(run / "model", license="cc-by-4.0", notes=["Only tones."]) == []
    about = model_card.read(run / "model")
    score = json.loads((run / "decode_dev/score.json").read_text())
    assert about is not None and about.results[0]["n"] == score["n"] == 12
    assert about.results[0]["metrics"]["em_full"] == score["metrics"]["em_full"]
    shown = list(about.results[0]["metrics"])
    assert shown == [name for name in model_card.SHOWN if name in shown] and len(shown) > 2
    text = (run / "model/README.md").read_text()
    assert head(run / "model")["license"] == "cc-by-4.0" and "Only tones." in text
    assert head(run / "model")["library_name"] == "atat" and about.results[0]["commands"][0] in text
    assert str(run.parent) not in text  # nobody's folders
    model_folder.load(run / "model")  # its checksums are those of the new card


def test_figures_of_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    decoded = tmp_path / "decode"
    shutil.copytree(run / "decode_dev", decoded)
    made = json.loads((decoded / "decode.json").read_text())
    made["inputs"] = dict.fromkeys(made["inputs"], "0" * 16)
    (decoded / "decode.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match="was decoded with other weights"):
        card_command.write(run / "model", [decoded])
    del made["inputs"]  # as in what `atat transcribe` writes
    (decoded / "decode.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match="does not say with which weights"):
        card_command.write(run / "model", [decoded])


def test_packing_again_finds_the_figures_and_8_bits_have_none(run: Path, tmp_path: Path) -> None:
    card_command.write(run / "model", license="cc-by-4.0", name="tones", notes=["Only tones."])
    pack.main([str(run)])
    packed = model_card.read(run / "model")
    assert packed is not None and len(packed.results) == 1
    said = (packed.license, packed.name, packed.notes)
    assert said == ("cc-by-4.0", "tones", ("Only tones.",))
    quantize.quantize(run / "model", tmp_path / "int8")
    about = model_card.read(tmp_path / "int8")
    assert about is not None and about.results == () and about.data == packed.data


def test_what_is_not_known_is_said_to_be_unknown(model: Path) -> None:
    card_command.main([str(model)])
    assert head(model)["license"] == "unknown"
    assert "| unknown | – | unknown | – |" in (model / "README.md").read_text()
    assert "Nothing was measured" in (model / "README.md").read_text()


# --- the hub


FIND = """
import sys
from atat.engine import named_model
from atat.base.errors import InputError
try:
    print(named_model.find(sys.argv[1]))
except InputError as error:
    print(error)
"""


def environment_of(hub_: hub.Hub, home: Path, token: str = hub.TOKEN) -> dict[str, str]:
    """Of a process of its own: the hub's client reads its environment when it is imported."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub_.address,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
    }


def in_process(hub_: hub.Hub, home: Path, *command: str, token: str = hub.TOKEN):
    """A command of its own."""
    line = [sys.executable, "-m", "atat", *command]
    environment = environment_of(hub_, home, token)
    return subprocess.run(line, env=environment, capture_output=True, text=True)


def test_a_model_goes_to_the_hub_in_private_and_is_loaded_by_its_name(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    card_command.write(model)
    with hub.running() as there:
        done = in_process(there, tmp_path / "a", "publish", str(model), "--to", "anna/tones")
        assert done.returncode == 0, done.stderr
        assert there.visibility == {"anna/tones": "private"} and "for you alone" in done.stdout
        sent = there.files["anna/tones"]
        assert sent["model.safetensors"] == (model / "model.safetensors").read_bytes()
        assert {"README.md", "about.json", "config.yaml", "SHA256SUMS"} < sent.keys()
        say = ("recognize", "anna/tones", "--text", "play", "--json")
        local = in_process(there, tmp_path / "b", "recognize", str(model), *say[2:])
        fetched = in_process(there, tmp_path / "b", *say)
        assert fetched.stdout and fetched.stdout == local.stdout, fetched.stderr
        stranger = in_process(there, tmp_path / "c", *say, token="hf_" + "x" * 34)
        assert stranger.returncode == 2 and "or it is private" in stranger.stderr


def test_what_was_changed_on_the_hub_is_refused_and_nothing_is_written_elsewhere(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    files = {
        path.relative_to(model).as_posix(): path.read_bytes()
        for path in model.rglob("*")
        if path.is_file()
    }
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 1
    with hub.running() as there:
        there.files["anna/changed"] = {**files, "model.safetensors": bytes(weights)}
        there.files["anna/outside"] = {**files, "../../../../../../evil": b"evil"}
        environment = environment_of(there, tmp_path / "deep" / "home")
        changed, outside = (
            subprocess.run(
                [sys.executable, "-c", FIND, name], env=environment, capture_output=True, text=True
            )
            for name in ("anna/changed", "anna/outside")
        )
    with pytest.raises(InputError, match="safetensors: damaged or changed since it was written"):
        model_folder.load(changed.stdout.strip())
    assert outside.stdout.startswith("anna/outside: no such folder here"), outside.stderr
    assert "cannot be fetched" in outside.stdout
    assert not list(tmp_path.rglob("evil*"))


def test_a_hub_that_cannot_be_reached_is_one_line(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with hub.running() as gone:
        pass
    done = in_process(gone, tmp_path, "publish", str(model), "--to", "anna/tones")
    assert done.returncode == 2 and done.stderr.startswith("error: --to anna/tones: cannot be upl")
    assert "try again with a connection" in done.stderr and done.stderr.count("\n") == 1


def test_what_the_hub_refuses_is_said_and_public_is_never_by_accident(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    command = ("publish", str(model), "--to", "anna/tones")
    with hub.running() as there:
        bad = in_process(there, tmp_path, *command, token="hf_" + "x" * 34)
        assert bad.returncode == 2 and "hf auth login" in bad.stderr and not there.files
        there.files["anna/tones"], there.visibility["anna/tones"] = {}, "public"
        found = in_process(there, tmp_path, *command)
        assert found.returncode == 2 and "is there and public; give --public" in found.stderr
        assert there.files == {"anna/tones": {}}
        assert in_process(there, tmp_path, *command, "--public").returncode == 0
        assert "model.safetensors" in there.files["anna/tones"]


def test_publishing_again_replaces_all_files_and_public_makes_a_private_one_public(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    command = ("publish", str(model), "--to", "anna/tones")
    with hub.running() as there:
        there.files["anna/tones"] = {".gitattributes": b"lfs", "calibration.json": b"{}"}
        there.visibility["anna/tones"] = "private"
        done = in_process(there, tmp_path, *command)
        assert done.returncode == 0 and "for you alone" in done.stdout, done.stderr
        assert there.visibility == {"anna/tones": "private"}
        own = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
        assert there.files["anna/tones"].keys() == {*own, ".gitattributes"}
        done = in_process(there, tmp_path, *command, "--public")
        assert done.returncode == 0 and "for everyone" in done.stdout, done.stderr
        assert there.visibility == {"anna/tones": "public"}


@pytest.mark.parametrize("name", ["weights.pt", "tokenizer/cache.pkl", "notes.txt"])
def test_no_pickle_and_no_stray_file_goes(model: Path, name: str) -> None:
    (model / "SHA256SUMS").unlink()
    (model / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"{name}: .*remove it"):
        publish.files_of(model)


def test_no_link_out_of_the_model_goes(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (model / "SHA256SUMS").unlink()
    (model / "tokenizer/more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(InputError, match="leads out of the model's folder"):
        publish.files_of(model)


@pytest.mark.parametrize("name", ["tones", "anna/", "../x/y", "anna/a b"])
def test_a_name_that_is_none(model: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected OWNER/NAME"):
        publish.publish(model, name)


# --- the model that comes with the package


def test_the_demo_model_answers_without_a_network() -> None:
    environment = {**os.environ, "ATAT_ENCODERS": "/nonexistent", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "atat", "recognize", "--demo", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["intent"] == "PLAY_MUSIC"
    assert found["slots"] == {"SONG": "dreaming tigers", "DEVICE": "living room"}


@pytest.mark.parametrize("name", ["music", "barista"])
def test_a_demo_model_says_what_it_is(name: str) -> None:
    about = model_card.read(named_model.demo(name))
    assert about is not None and about.license == "apache-2.0" and about.results
    assert all(one.license != "unknown" for one in about.data)
    publish.files_of(named_model.demo(name))  # whole, and nothing of it could run code


def test_the_demo_for_people_says_how_to_get_its_encoder() -> None:
    environment = {**os.environ, "ATAT_ENCODERS": "/nonexistent"}
    command = [sys.executable, "-m", "atat", "recognize", "demo:barista"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "atat encoder get moonshine-tiny" in done.stderr


def test_the_demo_for_people_understands_an_order() -> None:
    """Only where `atat encoder get moonshine-tiny` has been run."""
    pytest.importorskip("onnxruntime")
    try:
        encoder_files.folder_of("moonshine-tiny")
    except InputError as error:
        pytest.skip(str(error))
    found = Recognizer.load("demo:barista")(named_model.example("demo:barista"))
    assert found.understood and found.intent == "ORDER_DRINK"
    assert found.slots == {
        "SIZE": "large",
        "ROAST": "dark roast",
        "COFFEE_DRINK": "latte",
        "MILK_AMOUNT": "some soy milk",
    }


def test_there_are_the_demo_models_that_are_named() -> None:
    with pytest.raises(InputError, match="here are: demo:barista, demo:music"):
        named_model.find("demo:../music")
    with pytest.raises(InputError, match="did you mean `demo:barista`"):
        named_model.find("demo:barrista")
