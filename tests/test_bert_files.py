"""A stranger's BERT is data: its Python is never run, nobody is asked, and no path is followed."""

from __future__ import annotations

import copy
import json
import os
import pty
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import fingerprint
from atat.engine import model_folder, quantize, run_folder
from atat.engine.settings import SourceSettings
from atat.nn.espnet_encoder import load_weights
from atat.nn.settings import AudioEncoderSettings, TextEncoderSettings
from atat.nn.text_encoder import BertTextEncoder
from atat.prepare import encoder_command
from atat.speech.settings import AugmentSettings
from atat.systems.distill.settings import DistillSettings, TeacherSettings
from atat.systems.joint import start as joint_start
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import InitSettings, ModelSettings, TrainSettings
from atat.systems.lugosch.settings import LugoschSettings
from atat.systems.stbert.settings import StbertSettings
from atat.text import bert_files
from atat.text.encoder_ids import build_encoder_ids

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tiny.WORDS]
CODE = """
import os
open({marker!r}, "a").write("ran")
from transformers import BertConfig, BertModel, BertTokenizerFast
class EvilConfig(BertConfig):
    model_type = "evil"
class EvilModel(BertModel):
    config_class = EvilConfig
class EvilTokenizer(BertTokenizerFast):
    pass
"""
CONFIG_CODE = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
TOKENIZER_CODE = {
    "tokenizer_class": "EvilTokenizer",
    "auto_map": {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]},
}
# What each folder says, by file, and whether it is to be refused: by both ways (True), by none,
# or only as one to start from (None); a packed model is then read as if it said nothing.
FOLDERS: dict[str, tuple[dict[str, dict[str, Any]], bool | None]] = {
    "unknown_type": ({"config.json": {"model_type": "evil", "auto_map": CONFIG_CODE}}, True),
    "known_type": ({"config.json": {"auto_map": CONFIG_CODE}}, True),
    "tokenizer": ({"tokenizer_config.json": TOKENIZER_CODE}, False),
    "kernel": ({"config.json": {"attn_implementation": "somebody/kernel"}}, None),
    "both": (
        {
            "config.json": {"model_type": "evil", "auto_map": CONFIG_CODE},
            "tokenizer_config.json": TOKENIZER_CODE,
        },
        True,
    ),
}
# Told apart by what is read: the packed model, and its BERT as one to start a training from.
READ = """
import sys
from pathlib import Path
from atat.engine import model_folder as packed
from atat.base.errors import InputError
from atat.nn.settings import TextEncoderSettings
from atat.nn.text_encoder import build_text_encoder
from atat.text.encoder_ids import build_encoder_ids

def attempt(name, read):
    try:
        read()
        print(name, "read", flush=True)
    except InputError as error:
        print(name, "refused", str(error).replace(chr(10), " "), flush=True)

for folder in map(Path, sys.argv[1:]):
    text = TextEncoderSettings(kind="bert", bert=str(folder / "bert"))
    attempt(folder.name + ":packed", lambda: packed.load(folder))
    attempt(folder.name + ":start", lambda: build_text_encoder(text, 8, 9))
    attempt(folder.name + ":words", lambda: build_encoder_ids(text.bert_or_none, None))
"""


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT, as transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    sizes = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    torch.manual_seed(2)
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(folder / "bert")
    return folder / "bert"


@pytest.fixture(scope="module")
def model(bert: Path) -> Packed:
    text = TextEncoderSettings(kind="bert", bert=str(bert))
    settings = ModelSettings(
        width=32, audio_encoder=None, text_encoder=text, decoder=tiny.MODEL.decoder
    )
    tokenizer = tiny.make_tokenizer()
    built, units = build_model(settings, tokenizer)
    return Packed(
        built.eval(),
        tokenizer,
        settings,
        units,
        build_encoder_ids(text.bert_or_none, tokenizer),
        set(),
        ("nlu",),
    )


def test_a_text_encoder_of_the_hub_is_fetched_with_its_tokenizer(
    bert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stands for the hub."""
    import transformers

    fetched: list[str] = []
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fetched.append)
    encoder_command.main(["get", str(bert)])
    assert "in the hub's cache" in capsys.readouterr().out and fetched == [str(bert)]


@pytest.mark.parametrize("said", ["", "no network\nbut a second line"])
def test_what_the_hub_says_is_one_line(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def fails(name: str) -> None:
        raise OSError(said)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fails)
    line = said.split("\n")[0] or "OSError"
    with pytest.raises(InputError, match=f"a/b could not be fetched from the hub .{line}.; with"):
        encoder_command.main(["get", "a/b"])


def test_a_published_text_encoder_is_found_by_its_name(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    with pytest.raises(InputError, match="atat encoder get minilm-l6"):
        bert_files.pretrained("minilm-l6")
    shutil.copytree(bert, tmp_path / "minilm-l6")
    (tmp_path / "minilm-l6" / "origin.json").write_text("{}")
    found = bert_files.pretrained("minilm-l6").state_dict()
    for name, value in bert_files.pretrained(str(bert)).state_dict().items():
        assert torch.equal(value, found[name]), name
    assert bert_files.pretrained_tokenizer("minilm-l6").encode("play").ids


def test_a_training_notices_another_bert(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name or by folder, in every system that starts from one."""
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    shutil.copytree(bert, tmp_path / "minilm-l6")
    (tmp_path / "minilm-l6" / "origin.json").write_text("{}")
    text = (SourceSettings(data=str(tmp_path), task="teacher"),)
    audio = (SourceSettings(data=str(tmp_path), task="pretrain"),)
    nlu = (SourceSettings(data=str(tmp_path), task="nlu"),)
    encoder = TextEncoderSettings(kind="bert", bert="minilm-l6")
    runs = [
        DistillSettings(train=text, steps=1, teacher=TeacherSettings(bert="minilm-l6")),
        StbertSettings(train=audio, steps=1, bert="minilm-l6", acoustic="none"),
        TrainSettings(
            train=nlu,
            steps=1,
            tokenizer=str(tmp_path),
            model=ModelSettings(audio_encoder=None, text_encoder=encoder),
        ),
    ]
    before = [run.digests() for run in runs]
    for name in ("config.json", "tokenizer.json"):
        path = tmp_path / "minilm-l6" / name
        path.write_text(path.read_text() + " ")
        for number, run in enumerate(runs):
            assert fingerprint.changed(before[number], run.digests())[-1:] == [str(path)], name
        before = [run.digests() for run in runs]


def test_a_training_notices_another_noise_and_what_a_new_model_begins_with(
    bert: Path, tmp_path: Path
) -> None:
    """With an audio encoder of a start model, too; one that began without a digest goes on."""
    (tmp_path / "noise").mkdir()
    noise, weights = tmp_path / "noise" / "a.wav", tmp_path / "espnet.pth"
    for path in (noise, weights):
        path.write_bytes(b"one")
    augment = AugmentSettings(noise=(str(tmp_path / "noise"),))
    joint = TrainSettings(
        train=(SourceSettings("data", "slu"), SourceSettings("data", "nlu")),
        steps=1,
        tokenizer=str(tmp_path),
        features="wav",
        augment=augment,
        model=ModelSettings(
            audio_encoder=AudioEncoderSettings(
                kind="espnet", espnet_name="conformer", espnet_weights=str(weights)
            ),
            text_encoder=TextEncoderSettings(kind="bert", bert=str(bert)),
        ),
        init=InitSettings(model=str(tmp_path), part="audio_encoder"),
    )
    timed = (SourceSettings("data", "acoustic"),)
    lugosch = LugoschSettings(train=timed, steps=1, augment=augment)
    before = joint.digests()
    assert str(bert / "config.json") in before
    of_noise, heard = f"noise {tmp_path / 'noise'}", lugosch.digests()
    noise.write_bytes(b"two")
    assert fingerprint.changed(heard, lugosch.digests()) == [of_noise]
    assert fingerprint.changed(before, joint.digests()) == [of_noise]
    assert not fingerprint.changed({}, joint.digests())
    for remove in (noise.unlink, noise.parent.rmdir):
        remove()
        assert not fingerprint.changed(before, joint.digests())  # as data that is gone
        assert not fingerprint.changed(heard, lugosch.digests())
    assert str(weights) not in before  # the start's encoder takes their place
    alone = replace(joint, init=InitSettings())
    before = alone.digests()
    weights.write_bytes(b"two")
    assert fingerprint.changed(before, alone.digests()) == [str(weights)]


@pytest.mark.parametrize("start", [InitSettings(), InitSettings(model="m", part="audio_encoder")])
def test_a_finished_training_does_without_its_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: InitSettings
) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    joint = TrainSettings(
        train=(SourceSettings("data", "slu"), SourceSettings("data", "nlu")),
        steps=1,
        tokenizer=str(tmp_path),
        model=ModelSettings(
            audio_encoder=AudioEncoderSettings(kind="pretrained", pretrained="moonshine-tiny"),
            text_encoder=TextEncoderSettings(kind="bert", bert="minilm-l6"),
        ),
        init=start,
    )
    tiny.make_tokenizer().save(tmp_path)
    config.save(tmp_path / "config.yaml", joint)
    (tmp_path / run_folder.INPUTS).write_text('{"encoder moonshine-tiny": "moonshine-tiny@1"}')
    run_folder.check_same(tmp_path, joint)

    with pytest.raises(InputError, match="not on this machine"):  # of one that needs them
        joint_start.start_model(joint)


def states(found: Packed, text: str) -> torch.Tensor:
    assert found.source_text is not None
    ids = torch.tensor([found.source_text(text)])
    with torch.no_grad():
        return found.model.encode(False, ids, torch.tensor([ids.shape[1]]))[0]


def test_a_packed_bert_reads_and_means_what_it_did(model, bert, tmp_path):
    model_folder.save(tmp_path / "one", model)
    model_folder.save(tmp_path / "two", model_folder.load(tmp_path / "one"))
    shutil.rmtree(tmp_path / "one")  # a packed model needs no other
    again = model_folder.load(tmp_path / "two")
    from transformers import AutoTokenizer

    for text in ("play the song", "", "lamp unheardof " * 400):
        theirs = AutoTokenizer.from_pretrained(bert)(text, truncation=True, max_length=512)
        assert model.source_text(text) == again.source_text(text) == list(theirs["input_ids"])
        assert torch.equal(states(model, text), states(again, text))
    assert not [name for name in model.model.state_dict() if "pooler" in name]
    quantize.quantize(tmp_path / "two", tmp_path / "int8")
    assert model_folder.load(tmp_path / "int8").source_text("play") == model.source_text("play")


def test_a_packed_bert_with_a_pooler_is_read_without_it(model, tmp_path):
    model_folder.save(tmp_path / "model", model)
    (tmp_path / "model" / "SHA256SUMS").unlink()
    path = tmp_path / "model" / "model.safetensors"
    for name, fits in (("pooler.dense.weight", True), ("puller.dense.weight", False)):
        weights = load_file(path) | {f"text_encoder.bert.{name}": torch.ones(24, 24)}
        save_file(weights, path)
        if fits:
            found = model_folder.load(tmp_path / "model")
            assert torch.equal(states(found, "play the song"), states(model, "play the song"))
            continue
        with pytest.raises(InputError, match="does not fit its config.yaml"):
            model_folder.load(tmp_path / "model")


def test_a_text_is_cut_where_bert_has_no_more_positions(bert, tmp_path):
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    sizes = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    sizes |= dict(vocab_size=len(WORDS), max_position_embeddings=16)
    text = TextEncoderSettings(kind="bert", bert=str(tmp_path / "bert"))
    settings = ModelSettings(
        width=32, audio_encoder=None, text_encoder=text, decoder=tiny.MODEL.decoder
    )
    for small, longest in (
        (BertModel(BertConfig(**sizes)), 16),
        (RobertaModel(RobertaConfig(**sizes, pad_token_id=0)), 15),
    ):
        shutil.copytree(bert, tmp_path / "bert", dirs_exist_ok=True)
        small.save_pretrained(tmp_path / "bert")
        tokenizer = tiny.make_tokenizer()
        built, units = build_model(settings, tokenizer)
        ids = build_encoder_ids(str(tmp_path / "bert"), tokenizer)
        packed = Packed(built.eval(), tokenizer, settings, units, ids, set(), ("nlu",))
        model_folder.save(tmp_path / "model", packed)
        for found in (packed, model_folder.load(tmp_path / "model")):
            assert len(found.source_text("play " * 40)) == longest
            assert states(found, "play " * 40).shape == (1, longest, 32)


def tampered(folder: Path, model: Packed, bert: Path, marker: Path) -> list[Path]:
    """Packed models, each with other files of a stranger's, and the stranger's Python."""
    found = []
    for name, (changes, _) in FOLDERS.items():
        model_folder.save(folder / name, model)
        # A stranger's digests are right.
        (folder / name / "SHA256SUMS").unlink(missing_ok=True)
        beside = folder / name / "bert"
        (beside / "evil.py").write_text(CODE.format(marker=str(marker)))
        shutil.copy(bert / "model.safetensors", beside)
        for file, values in changes.items():
            path = beside / file
            old = json.loads(path.read_text()) if path.is_file() else {}
            path.write_text(json.dumps({**old, **values}))
        found.append(folder / name)
    return found


@pytest.mark.parametrize("answering", [True, False], ids=["yes", "nobody"])
def test_a_strangers_python_is_not_run_whoever_would_say_yes(model, bert, tmp_path, answering):
    marker = tmp_path / "marker"
    folders = tampered(tmp_path, model, bert, marker)
    keyboard = None
    if answering:
        typed, keyboard = pty.openpty()
        os.write(typed, b"y\n" * 50)
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, folders)],
        text=True,
        timeout=120,
        capture_output=True,
        stdin=keyboard if answering else subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
    )
    assert not marker.exists()
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for name, (_, refused) in FOLDERS.items():
        read, start = said[f"{name}:packed"], said[f"{name}:start"]
        assert ("refused" in read and "`auto_map`" in read) if refused else read == "read"
        assert start.startswith("read" if refused is False else "refused")


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("config.json", {"model_type": "rag"}, "`model_type` is 'rag'; expected a text encoder"),
        ("config.json", {"hidden_size": "wide"}, "no configuration that transformers can build"),
        ("config.json", {"num_attention_heads": 5}, "no configuration that transformers can build"),
        ("config.json", None, "bert/config.json: no such file"),
        ("config.json", "{", "bert/config.json:1: torn or not JSON"),
        ("config.json", "[]", "bert/config.json: expected a JSON object, found list"),
        ("tokenizer.json", None, "bert/tokenizer.json: no such file"),
        ("tokenizer.json", "{}", "bert/tokenizer.json: not a file of `tokenizers`"),
    ],
)
def test_odd_files_are_named(model, tmp_path, file, values, message):
    model_folder.save(tmp_path / "model", model)
    (tmp_path / "model" / "SHA256SUMS").unlink(missing_ok=True)
    path = tmp_path / "model" / "bert" / file
    if values is None:
        path.unlink()
    elif isinstance(values, str):
        path.write_text(values)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(InputError, match=message):
        model_folder.load(tmp_path / "model")


def test_what_a_configuration_names_is_not_fetched(model, tmp_path):
    model_folder.save(tmp_path / "model", model)
    (tmp_path / "model" / "SHA256SUMS").unlink(missing_ok=True)
    path = tmp_path / "model" / "bert" / "config.json"
    names = {
        "attn_implementation": "somebody/kernel",
        "_attn_implementation": "somebody/kernel",
        "quantization_config": {"quant_method": "gptq"},
        "_name_or_path": "/elsewhere",
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **names}))
    found = model_folder.load(tmp_path / "model")
    assert torch.equal(states(found, "play the song"), states(model, "play the song"))


def test_a_path_in_the_configuration_of_a_packed_model_is_not_followed(model, bert, tmp_path):
    elsewhere = replace(model.settings.text_encoder, bert=str(tmp_path / "elsewhere"))
    other = replace(model, settings=replace(model.settings, text_encoder=elsewhere))
    model_folder.save(tmp_path / "model", other)
    assert str(tmp_path / "elsewhere") in (tmp_path / "model" / "config.yaml").read_text()
    found = model_folder.load(tmp_path / "model")
    assert torch.equal(states(found, "play the song"), states(model, "play the song"))


def test_weights_of_a_bert_that_are_a_program_are_not_unpickled(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "marker"),)

    torch.save({"x": Evil()}, tmp_path / "bert" / "pytorch_model.bin")
    with pytest.raises(InputError, match="a pickle of more than tensors"):
        bert_files.pretrained(str(tmp_path / "bert"))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("what", ["nothing", "text", "folder", "list", "program"])
def test_weights_of_espnet_that_are_none_are_named_and_not_run(tmp_path, what):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "marker"),)

    path = tmp_path / "valid.acc.ave.pth"
    if what == "folder":
        path.mkdir()
    elif what in ("nothing", "text"):
        path.write_text("" if what == "nothing" else "dear reader")
    else:
        torch.save([1, 2] if what == "list" else {"encoder.x": Evil()}, path)
    with pytest.raises(InputError, match="espnet_weights: .*valid.acc.ave.pth: n"):
        load_weights(torch.nn.Linear(2, 2), str(path))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("kind", bert_files.ENCODERS)
def test_padding_changes_nothing_in_any_kind(kind: str) -> None:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(kind, pad_token_id=0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 48, "vocab_size": 40}
    sizes |= {"num_attention_heads": 2, "embedding_size": 32}
    sizes |= {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 48}  # DistilBERT's names
    for name in sizes.keys() & vars(config).keys():
        setattr(config, name, sizes[name])
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    ids, mask = torch.randint(5, 40, (1, 11)), torch.ones(1, 11, dtype=torch.long)
    ids[:, 6:], mask[:, 6:] = 0, 0
    without = BertTextEncoder(copy.deepcopy(model), 8).eval()
    assert not [name for name, _ in without.named_parameters() if "pooler" in name]
    assert bert_files.positions(config) >= 11
    with torch.no_grad():
        alone = model(ids[:, :6], attention_mask=mask[:, :6]).last_hidden_state
        padded = model(ids, attention_mask=mask).last_hidden_state
        states = without.bert(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(padded[:, :6], alone, atol=1e-5, rtol=1e-4)
    assert torch.equal(states, padded)
