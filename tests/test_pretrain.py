"""The pretraining recipe's local commands: what each task's data dirs must have, joining them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import save_wav2vec2

from atat.base.errors import InputError
from atat.datadir import ark, feats_type, kaldi_dir, tables
from atat.datadir.ctm import Word, write_ctm
from atat.datadir.overlap import overlap
from atat.speech import audio, frontend
from atat.speech.frontend import Frontend, Lfb

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "pretrain" / "local"
TREE = "[IN:PLAY_MUSIC play [SL:SONG silver river ] ]"


def write_dir(
    folder: Path,
    ids: Sequence[str],
    *,
    speech: bool = True,
    trees: bool = True,
    times: int | None = None,
) -> Path:
    """A data dir of noise; the first `times` utterances have a ctm."""
    utterances = []
    for key in ids:
        wav = folder / "wavs" / f"{key}.wav"
        if speech:
            noise = np.random.default_rng(len(key)).normal(0, 0.1, 8000)
            audio.save(wav, noise.astype(np.float32))
        utterances.append(
            kaldi_dir.Utterance(
                id=key,
                speaker=key.split("-")[0],
                wav=str(wav) if speech else None,
                text="play silver river",
                semantics=TREE if trees else None,
            )
        )
    kaldi_dir.write(folder, utterances)
    if times is not None:
        write_ctm(
            folder / "ctm",
            {
                key: [Word("play", 0.1, 0.1), Word("silver", 0.2, 0.1), Word("river", 0.3, 0.1)]
                for key in ids[:times]
            },
        )
    return folder


def add_features(folder: Path, made_by: Frontend = Lfb()) -> None:
    """feats.scp of a data dir, and of what kind it is, as `atat features` would make them."""
    scp = {}
    for utterance in kaldi_dir.load(folder):
        path = folder / f"{utterance.id}.ark"
        ark.write_matrix(path, made_by(audio.load(utterance.wav or "")))
        scp[utterance.id] = str(path)
    tables.write_tables(folder, {"feats.scp": scp, **feats_type.tables_of(made_by)})


@pytest.fixture
def dirs(tmp_path: Path) -> dict[str, Path]:
    """Sound data dirs, by option."""
    return {
        "slu": write_dir(tmp_path / "music", ["a-1", "a-2"]),
        "dev_slu": write_dir(tmp_path / "dev_music", ["b-1"]),
        "asr": write_dir(tmp_path / "read", ["c-1", "c-2", "d-1"], trees=False, times=3),
        "dev_asr": write_dir(tmp_path / "dev_read", ["e-1"], trees=False),
    }


def gather(local: Any, dirs: dict[str, Path], out: Path, *options: str) -> None:
    given = [word for name, folder in dirs.items() for word in (f"--{name}", str(folder))]
    local("gather").main([*given, "--out", str(out), *options])


def ids(folder: Path) -> set[str]:
    return {utterance.id for utterance in kaldi_dir.load(folder)}


def test_gathered_and_joined(local: Any, dirs: dict[str, Path], tmp_path: Path) -> None:
    """Every utterance arrives in the dir of its task; nlu reads the sentences of slu."""
    before = {
        path: path.stat().st_mtime_ns for folder in dirs.values() for path in folder.rglob("*")
    }
    gather(local, dirs, tmp_path / "data")
    for part in (tmp_path / "data" / "parts").iterdir():
        if "nlu" not in part.name:
            add_features(part)
    local("join").main(["--data", str(tmp_path / "data")])
    data = tmp_path / "data"
    assert ids(data / "train_slu") == ids(data / "train_nlu") == {"a-1", "a-2"}
    assert ids(data / "train_asr") == ids(data / "train_mlm") == {"c-1", "c-2", "d-1"}
    assert ids(data / "dev_nlu") == {"b-1"} and ids(data / "dev_asr") == {"e-1"}
    assert all(u.wav is None and u.feats is None for u in kaldi_dir.load(data / "train_nlu"))
    assert all(u.feats for u in kaldi_dir.load(data / "train_mlm"))
    assert before == {
        path: path.stat().st_mtime_ns for folder in dirs.values() for path in folder.rglob("*")
    }
    shared = {
        task: overlap(data / f"train_{task}", data / f"dev_{task}") for task in ("slu", "nlu")
    }
    assert str(shared["slu"]) == "1 of 1 sentences (100.0 %), 0 of 1 speakers"
    assert str(shared["nlu"]) == "1 of 1 sentences (100.0 %)"


def test_features_of_another_kind_are_made_again(
    local: Any, dirs: dict[str, Path], tmp_path: Path
) -> None:
    """LFB where states are wanted and the other way round; what cannot be made again is refused."""
    encoder = str(save_wav2vec2(tmp_path / "w2v"))
    states = frontend.find(encoder)
    for number, folder in enumerate(dirs.values()):
        add_features(folder, states if number % 2 else Lfb())
    kinds = {name: feats_type.read(folder)[:3] for name, folder in dirs.items()}
    assert set(kinds.values()) == {"lfb", "w2v"}
    for wanted, made_by in (("lfb", Lfb()), ("w2v", states)):
        out = tmp_path / wanted
        gather(local, dirs, out, *(["--encoder", encoder] if made_by is states else []))
        for name, kind in kinds.items():
            role = name if name.startswith("dev_") else f"train_{name}"
            (part,) = (out / "parts").glob(f"{role}_1_*")
            made = sorted(path.name for path in part.iterdir() if "fe" in path.name)
            assert (made != []) == (kind == wanted), (name, made)
            add_features(part, made_by)
        local("join").main(["--data", str(out)])
        assert feats_type.read(out / "train_slu")[:3] == wanted
    with pytest.raises(InputError, match="sources: gathered before from .*now from --encoder w2v@"):
        gather(local, dirs, tmp_path / "lfb", "--encoder", encoder)
    (dirs["slu"] / "wav.scp").unlink()
    with pytest.raises(InputError, match="music: its features are lfb, expected w2v@.*no wav.scp"):
        gather(local, dirs, tmp_path / "again", "--encoder", encoder)
    assert not (tmp_path / "again").exists()


def test_several_dirs_of_one_option(local: Any, dirs: dict[str, Path], tmp_path: Path) -> None:
    more = write_dir(tmp_path / "more", ["f-1"])
    given = [
        word
        for name, folder in dirs.items()
        if name != "slu"
        for word in (f"--{name}", str(folder))
    ]
    local("gather").main(
        [
            "--slu",
            str(dirs["slu"]),
            str(more),
            *given,
            "--models",
            "two_tasks",
            "--out",
            str(tmp_path / "data"),
        ]
    )
    local("join").main(["--data", str(tmp_path / "data")])
    assert ids(tmp_path / "data" / "train_slu") == {"a-1", "a-2", "f-1"}
    # Whichever models are trained, their word pieces are of the same text.
    assert ids(tmp_path / "data" / "train_nlu") == {"a-1", "a-2", "f-1"}
    again = write_dir(tmp_path / "again", ["a-2"])
    with pytest.raises(InputError, match="'a-2' is also in .*music; give each utterance once"):
        local("gather").main(
            ["--slu", str(dirs["slu"]), str(again), *given, "--out", str(tmp_path / "other")]
        )


@pytest.mark.parametrize(
    "option, wrong, message",
    [
        ("slu", {"trees": False}, "there is no `semantics`, which slu needs.*given to --asr"),
        ("slu", {"speech": False}, "text only.*this one to --nlu; voices come from"),
        ("dev_asr", {"speech": False}, "text only"),
        ("nlu", {"trees": False, "speech": False}, "no `semantics`, which nlu needs"),
        (
            "asr",
            {"trees": False},
            "no `ctm`.*atat align --backend pocketsphinx --data .*wrong",
        ),
        ("asr", {"times": 1}, "1 of 2 utterances have no word times.*more than --max_lost 0.01"),
    ],
)
def test_a_dir_that_lacks_what_its_task_needs(
    local: Any,
    dirs: dict[str, Path],
    tmp_path: Path,
    option: str,
    wrong: dict[str, Any],
    message: str,
) -> None:
    """The message names the option, the dir and the fix."""
    dirs[option] = write_dir(tmp_path / "wrong", ["x-1", "x-2"], **wrong)
    with pytest.raises(InputError, match=f"--{option} .*wrong: .*(?:{message})"):
        gather(local, dirs, tmp_path / "data")
    assert not (tmp_path / "data" / "parts").exists()


def test_further_models_may_be_trained_later(
    local: Any, dirs: dict[str, Path], tmp_path: Path
) -> None:
    for models in (["two_tasks"], ["two_tasks", "four_tasks"], ["three_tasks"]):
        gather(local, dirs, tmp_path / "data", "--models", *models)


def test_word_times_are_for_mlm_alone(local: Any, dirs: dict[str, Path], tmp_path: Path) -> None:
    (dirs["asr"] / "ctm").unlink()
    gather(local, dirs, tmp_path / "data", "--models", "two_tasks")
    with pytest.raises(InputError, match="or train without mlm: --models two_tasks"):
        gather(local, dirs, tmp_path / "data", "--models", "two_tasks", "three_tasks")
    with pytest.raises(InputError, match="--models five_tasks: unknown; there are two_tasks"):
        gather(local, dirs, tmp_path / "data", "--models", "five_tasks")


def test_no_data_dir(local: Any, dirs: dict[str, Path], tmp_path: Path) -> None:
    dirs["slu"] = tmp_path
    with pytest.raises(InputError, match=r"--slu .*no data dir \(it has no utt2spk\)"):
        gather(local, dirs, tmp_path / "data")


def test_utterances_without_times_leave_mlm_and_stay_in_asr(
    local: Any, dirs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dir(dirs["asr"], ["c-1", "c-2", "d-1"], trees=False, times=2)
    gather(local, dirs, tmp_path / "data", "--max_lost", "0.5")
    assert "1 of 3 utterances have no word times" in capsys.readouterr().out
    local("join").main(["--data", str(tmp_path / "data")])
    assert ids(tmp_path / "data" / "train_asr") - ids(tmp_path / "data" / "train_mlm") == {"d-1"}


def test_features_of_another_kind_are_refused(
    local: Any, dirs: dict[str, Path], tmp_path: Path
) -> None:
    add_features(dirs["slu"])
    gather(local, dirs, tmp_path / "data")
    part = tmp_path / "data" / "parts" / "train_slu_1_music"
    assert kaldi_dir.load(part)[0].feats == kaldi_dir.load(dirs["slu"])[0].feats
    scp = tables.read_table(dirs["slu"] / "feats.scp")
    own = ark.read(scp["a-1"])
    for matrix, message in (
        (own - own.mean(axis=0), "not those that atat features makes"),
        (own[:, :40], "features of 40 bins, expected 80"),
    ):
        ark.write_matrix(tmp_path / "other.ark", matrix)
        tables.write_table(dirs["slu"] / "feats.scp", {**scp, "a-1": f"{tmp_path}/other.ark"})
        with pytest.raises(InputError, match=message):
            gather(local, dirs, tmp_path / "data")


def test_other_sources_need_another_folder(
    local: Any, dirs: dict[str, Path], tmp_path: Path
) -> None:
    """A model must not go on with data it was not begun with."""
    gather(local, dirs, tmp_path / "data")
    gather(local, dirs, tmp_path / "data")
    dirs["dev_slu"] = write_dir(tmp_path / "dev_other", ["g-1"])
    with pytest.raises(InputError, match="before from .*dev_music.* now from .*dev_other"):
        gather(local, dirs, tmp_path / "data")


def test_losses_are_reported_and_missing_models_said(local: Any, tmp_path: Path) -> None:
    sources = [
        {"name": "slu/dev_slu", "loss": 1.25, "accuracy": 0.5, "exact_match": 0.125},
        {"name": "asr/dev_asr", "loss": 2.5, "accuracy": 0.5, "exact_match": None},
    ]
    validations = [{"step": 5, "sources": []}, {"step": 10, "sources": sources}]
    path = tmp_path / "two_tasks" / "seed1" / "train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"validations": validations}))
    rows = local("validations").rows_of
    assert rows(tmp_path / "two_tasks") == [
        ["two_tasks", "10", "slu/dev_slu", "1.250", "12.5"],
        ["two_tasks", "10", "asr/dev_asr", "2.500", "–"],
    ]
    assert rows(tmp_path / "four_tasks")[0][:2] == ["four_tasks", "not run"]
    shutil.copytree(path.parent, path.parent.with_name("seed2"))
    assert [row[0] for row in rows(tmp_path / "two_tasks")[1:3]] == [
        "two_tasks, seed1",
        "two_tasks, seed2",
    ]
