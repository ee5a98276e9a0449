"""Laws of training, decoding and packing, on a tiny corpus with real arks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from waiting import LIMIT, until

import atat
from atat.base import config, lock
from atat.base.errors import InputError
from atat.datadir import ark, kaldi_dir, tables
from atat.engine import assembly, checkpoint, decode, model_folder
from atat.engine import train as train_cli
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.engine.train import train
from atat.engine.validate import validate
from atat.speech.fbank import LOG_FLOOR, frames_touching
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.systems.joint.recognizer import Recognizer
from atat.systems.joint.settings import InitSettings, OptimSettings
from atat.systems.joint.system import system

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


settings = tiny.training


@pytest.fixture(scope="module")
def trained(corpus) -> Path:
    """A model that has learned the tiny corpus by heart."""
    folder = corpus / "exp"
    train(settings(corpus, steps=160), folder)
    return folder / "model"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return model_folder.load(folder / "model").model.state_dict()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(("workers", "sent"), [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_resumed_equals_uninterrupted(corpus, tmp_path, monkeypatch, workers, sent):
    valid = replace(settings(corpus).valid, average=2)
    train(settings(corpus, workers=workers, valid=valid), tmp_path / "straight")
    from atat.engine.trainer import Trainer

    whole = Trainer._step

    def interrupted(self, step, batches):
        if step == 6:
            os.kill(os.getpid(), sent)
        return whole(self, step, batches)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(settings(corpus, workers=workers, valid=valid), tmp_path / "broken")
    assert checkpoint.paths_in(tmp_path / "broken")[-1].name == "checkpoint-00000006.pt"
    monkeypatch.setattr(Trainer, "_step", whole)
    train(settings(corpus, workers=workers, valid=valid), tmp_path / "broken")
    assert [p.name for p in checkpoint.scheduled(tmp_path / "broken", 4)] == [
        p.name for p in checkpoint.scheduled(tmp_path / "straight", 4)
    ]
    assert_same(weights(tmp_path / "straight"), weights(tmp_path / "broken"))


def test_the_same_request_to_stop_may_come_twice(monkeypatch):
    from atat.engine import trainer

    waiting = trainer.Trainer.__new__(trainer.Trainer)
    waiting._stop = False
    with waiting._listening():
        monkeypatch.setattr(trainer, "AGAIN", 1e9)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert waiting._stop
        monkeypatch.setattr(trainer, "AGAIN", -1.0)  # long after the first
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def groups_below(process: int) -> list[int]:
    """The groups of processes that lead their own, of the children of a process."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [child for child in map(int, children) if os.getpgid(child) == child]


@pytest.mark.parametrize(
    ("launcher", "code"),
    [(["-m"], 130), (["-m", "torch.distributed.run", "--standalone", "--module"], 1)],
    ids=["alone", "torchrun"],
)
def test_a_signal_to_the_whole_job_stops_as_one_to_the_trainer_does(
    corpus, tmp_path, launcher, code
):
    """A scheduler sends SIGTERM to every process, the workers that prepare batches included;
    torchrun passes it on to those that have got it."""
    run = settings(corpus, steps=5000, checkpoint_every=5000, workers=2)
    config.save(tmp_path / "conf.yaml", run)
    command = [sys.executable, *launcher, "atat", "train", "--config", str(tmp_path / "conf.yaml")]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "exp")],
        env={**os.environ, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(LIMIT)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        log = tmp_path / "exp" / "train.log"
        try:
            until(
                lambda: job.poll() is not None or (log.is_file() and " step " in log.read_text()),
                "the first steps",
            )
            assert job.poll() is None, job.stderr.read()
            for group in (*groups_below(job.pid), job.pid):
                os.killpg(group, signal.SIGTERM)
            _, errors = job.communicate(timeout=LIMIT)
        finally:
            job.kill()
    assert job.returncode == code and "DataLoader" not in errors
    assert checkpoint.paths_in(tmp_path / "exp")


def test_a_training_that_fails_ends_and_so_do_its_workers(corpus, tmp_path):
    slu = (SourceSettings(str(corpus / "train"), "slu"),)
    run = settings(
        corpus,
        steps=5000,
        train=slu,
        valid=ValidSettings(),
        checkpoint_every=1,
        batch=BatchSettings(examples=2, block=3),
    )
    config.save(tmp_path / "conf.yaml", run)
    command = [sys.executable, str(Path(__file__).with_name("failing.py")), "conf.yaml", "exp"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    codes = {"KeyboardInterrupt": "130", "SystemExit": "3", "SIGKILL": "-9"}
    assert len(found) == 3 * len({kind for kind, *_ in found}) == 24
    assert done.stderr.count("error: the disk is full while writing ") == 3
    for kind, workers, code, left, _ in found:
        assert (code, left) == (codes.get(kind, "1"), "0"), (kind, workers)


def test_a_folder_is_one_trainings_at_a_time_and_a_log_is_its_own(corpus, tmp_path):
    run = settings(corpus, steps=2, valid=ValidSettings(), log_every=1)
    with lock.hold(tmp_path / "exp", "a training"):
        with pytest.raises(InputError, match=rf"a training \(process {os.getpid()} on"):
            train(run, tmp_path / "exp")
    assert [path.name for path in (tmp_path / "exp").iterdir()] == [lock.NAME]
    for name in ("exp", "other"):
        train(run, tmp_path / name)
    for name in ("exp", "other"):
        log = (tmp_path / name / "train.log").read_text()
        assert log.count(" step 1 ") == log.count(" step 2 ") == 1


def test_cutting_a_step_into_more_batches_changes_nothing(corpus, tmp_path):
    # With a small eps Adam would blow rounding errors of zero gradients up to its full step.
    optim = OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2)
    fixed = settings(corpus, steps=3, model=tiny.without_dropout(), optim=optim)
    for name, frames in (("whole", 40000), ("cut", 250)):
        batch = BatchSettings(examples=12, block=3, max_frames=frames, max_tokens=frames)
        train(replace(fixed, batch=batch), tmp_path / name)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=2e-4, rtol=1e-3)


def test_it_learns_all_tasks_and_writes_what_was_promised(corpus, trained):
    about = json.loads((trained.parent / "train.json").read_text())
    last = {v["name"]: v for v in about["validations"][-1]["sources"]}
    assert last["slu/dev"]["exact_match"] > 0.7 and last["nlu/dev"]["exact_match"] > 0.7
    assert about["finished"] and about["steps"] == 160 and about["audio_seconds"] > 0
    assert list((trained.parent / "tensorboard").iterdir())
    assert (trained.parent / "config.yaml").is_file()


def test_decoded_from_the_command_line_as_by_the_recognizer(corpus, trained, tmp_path, capsys):
    arguments = ["--model", str(trained), "--data", str(corpus / "dev"), "--task", "slu"]
    arguments += ["--precision", "fp32"]
    arguments += ["--out", str(tmp_path / "out"), "--max_frames", "400"]
    decode.main(arguments)
    hypotheses = tables.read_table(tmp_path / "out" / "hyp")
    utterances = kaldi_dir.load(corpus / "dev")
    assert list(hypotheses) == [utterance.id for utterance in utterances]
    recognizer = Recognizer.load(trained, precision="fp32")
    right = 0
    for utterance in utterances:
        alone = recognizer.recognize([ark.read(utterance.feats)], "slu")[0]
        assert alone.text == hypotheses[utterance.id]
        right += alone.text == utterance.semantics
    assert right > 0.7 * len(utterances)
    about = json.loads((tmp_path / "out" / "decode.json").read_text())
    assert about["utterances"] == 12 and about["beam"] == 4
    nbest = [
        json.loads(line) for line in (tmp_path / "out" / "nbest.jsonl").read_text().splitlines()
    ]
    assert all(entry["nbest"][0]["text"] == hypotheses[entry["utt"]] for entry in nbest)
    capsys.readouterr()
    decode.main(arguments)
    assert "finished before" in capsys.readouterr().out


def test_interrupted_decoding_goes_on_where_it_stopped(corpus, trained, tmp_path, monkeypatch):
    arguments = ["--model", str(trained), "--data", str(corpus / "dev"), "--task", "nlu"]
    arguments += ["--precision", "fp32"]
    decode.main([*arguments, "--out", str(tmp_path / "straight"), "--max_tokens", "30"])
    whole, calls = Recognizer.recognize, []

    def interrupted(self, sources, task):
        calls.append(len(sources))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, sources, task)

    monkeypatch.setattr(Recognizer, "recognize", interrupted)
    arguments += ["--out", str(tmp_path / "broken"), "--max_tokens", "30"]
    with pytest.raises(KeyboardInterrupt):
        decode.main(arguments)
    decode.main(arguments)
    assert sum(calls) - calls[2] == 12
    for name in ("hyp", "nbest.jsonl"):
        assert (tmp_path / "straight" / name).read_bytes() == (
            tmp_path / "broken" / name
        ).read_bytes()


def test_processes_decode_as_one_does_and_hand_errors_over(
    corpus, trained, tmp_path, monkeypatch, capsys
):
    arguments = ["--model", str(trained), "--data", str(corpus / "dev"), "--max_frames", "400"]
    arguments += ["--precision", "fp32"]
    for nj in ("1", "3"):
        decode.main([*arguments, "--out", str(tmp_path / nj), "--nj", nj])
    assert (tmp_path / "1" / "hyp").read_bytes() == (tmp_path / "3" / "hyp").read_bytes()
    one, three = (
        [json.loads(line) for line in (tmp_path / nj / "nbest.jsonl").read_text().splitlines()]
        for nj in ("1", "3")
    )
    for mine, theirs in zip(one, three, strict=True):
        best, other = mine["nbest"][0], theirs["nbest"][0]
        assert best["text"] == other["text"]
        assert best["score"] == pytest.approx(other["score"], abs=1e-4)
    decode.main([*arguments, "--out", str(tmp_path / "1"), "--nj", "2"])
    assert "finished before" in capsys.readouterr().out

    def broken(self, sources, task):
        raise InputError("no such thing")

    monkeypatch.setattr(Recognizer, "recognize", broken)
    with pytest.raises(InputError, match="^no such thing$"):
        decode.main([*arguments, "--out", str(tmp_path / "broken"), "--nj", "2"])


def test_batches_hold_every_utterance_once_within_the_budget():
    from atat.datadir.kaldi_dir import Utterance
    from atat.engine.decode_workers import Item, _under, cut

    rng = np.random.default_rng(0)
    for count in (0, 1, 7, 40, 300):
        lengths = sorted(int(n) for n in rng.integers(1, 600, count))
        items = [Item(Utterance(f"u{i:03d}", "s"), n) for i, n in enumerate(lengths)]
        for nj in (1, 2, 5, 16):
            batches = cut(items, 4000, nj)
            assert [item for batch in batches for item in batch] == items
            assert all(len(batch) * batch[-1].length <= 4000 for batch in batches)
            assert len(batches) >= min(nj, count // 8)
            if nj == 16 and count == 300:  # cut smaller: as many for each, and evenly
                assert len(_under(items, 4000)) < len(batches) <= 2 * nj
                loads = [len(batch) * batch[-1].length for batch in batches]
                assert sum(sorted(loads)[-len(loads) // 2 :]) < 0.6 * sum(loads)


def test_a_second_recognizer_can_be_made_of_the_first_ones_model(trained):
    first = Recognizer.load(trained, precision="fp32")
    second = Recognizer(first.packed, precision="bf16")
    frames = np.random.default_rng(0).standard_normal((60, first.mel_bins)).astype(np.float32)
    before = first.recognize([frames], "slu")[0]
    assert second.recognize([frames], "slu")[0].nbest
    assert first.recognize([frames], "slu")[0] == before


def test_recordings_of_unknown_length_are_measured_before_they_are_batched(tmp_path, trained):
    from atat.engine.decode_workers import DecodeBatches
    from atat.speech import audio

    rng = np.random.default_rng(0)
    utterances = []
    for number, seconds in enumerate((0.9, 0.3, 0.6)):
        path = tmp_path / f"{number}.wav"
        audio.save(path, 0.1 * rng.standard_normal(int(16000 * seconds)).astype(np.float32))
        utterances.append(kaldi_dir.Utterance(f"u{number}", "s", wav=str(path)))
    recognizer = Recognizer.load(trained, precision="fp32")
    batches = DecodeBatches(recognizer, "slu", utterances, 120).batches
    assert [[item.utterance.id for item in batch] for batch in batches] == [["u1", "u2"], ["u0"]]
    assert [item.length for batch in batches for item in batch] == [28, 58, 88]


def test_a_checkpoint_of_another_vocabulary_is_refused(corpus, tmp_path):
    from atat.text.tokenizer import Tokenizer

    Tokenizer.load(corpus / "tokenizer").save(tmp_path / "tokenizer")
    run = settings(corpus, tokenizer=str(tmp_path / "tokenizer"), steps=4, valid=ValidSettings())
    train(run, tmp_path / "exp")
    other = Tokenizer.train(["play stop the song"] * 9, ["[IN:PLAY", "[IN:STOP", "[SL:THING"], 300)
    other.save(tmp_path / "tokenizer")
    with pytest.raises(InputError, match="tokenizer.json has changed since this training began"):
        train(run, tmp_path / "exp")
    (tmp_path / "exp" / "inputs.json").unlink()  # as in runs of before it was written
    with pytest.raises(
        InputError, match="checkpoint-00000004.pt: made with a different vocabulary"
    ):
        train(run, tmp_path / "exp")


def test_of_equal_exact_matches_the_lower_loss_is_better():
    from atat.engine.validate import Validation, score

    early, late = (Validation("slu/dev", {"loss": loss, "exact_match": 0.0}) for loss in (3.0, 2.0))
    assert score([late], "exact_match") > score([early], "exact_match")
    assert score([late], "loss") > score([early], "loss")


def test_freezing_without_anything_new_skips_the_phases_at_zero(corpus, trained, tmp_path):
    init = InitSettings(model=str(trained), unfreeze=((3, 0.0), (2, 0.5)), always_unfreeze=True)
    train(settings(corpus, init=init, steps=2, valid=ValidSettings()), tmp_path / "exp")
    name = "decoder.norm.weight"
    assert not torch.equal(weights(tmp_path / "exp")[name], weights(trained.parent)[name])


def test_recordings_too_short_or_of_the_wrong_kind_are_refused(corpus, trained, tmp_path):
    recognizer = atat.Recognizer.load(trained, precision="fp32")
    samples = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert recognizer(samples).text == recognizer(samples.astype(np.float32)).text
    with pytest.raises(InputError, match="shorter than one frame"):
        recognizer(samples[:100])
    with pytest.raises(InputError, match="found int16.*give it: rate="):
        recognizer((samples * 1000).astype(np.int16))
    data = tiny.make_data(tmp_path / "data", 10)
    frames = (data / "utt2num_frames").read_text().splitlines()
    name = frames[4].split()[0]
    (data / "utt2num_frames").write_text("\n".join([*frames[:4], f"{name} 0", *frames[5:]]) + "\n")
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    with pytest.raises(InputError, match=f"{name}: shorter than one frame"):
        TaskData(SourceSettings(str(data), "asr"), encoding)


def test_text_and_audio_of_one_object(corpus, trained):
    recognizer = atat.Recognizer.load(trained, well_formed=True, precision="fp32")
    found = recognizer(text="Play the red LAMP!")
    assert found.text == "[IN:PLAY play the [SL:THING red lamp ] ]"
    assert found.tree is not None and found.score < 0
    utterance = kaldi_dir.load(corpus / "train")[0]
    transcript = recognizer.engine.recognize([ark.read(utterance.feats)], "asr")[0]
    assert transcript.text == utterance.text
    for wrong in ({}, {"text": "a", "task": "slu"}, {"text": "a", "task": "sing"}):
        with pytest.raises(InputError):
            recognizer(**wrong)


def test_a_new_domain_extends_the_vocabulary_and_freezes_what_is_known(corpus, trained, tmp_path):
    tokenizer = model_folder.load(trained).tokenizer.extend(["[IN:ASK", "[SL:WHO"])
    tokenizer.save(tmp_path / "tokenizer")
    init = InitSettings(model=str(trained), unfreeze=((4, 0.0), (2, 0.5)))
    nlu = (SourceSettings(str(corpus / "train"), "nlu"),)
    run = settings(corpus, tokenizer=str(tmp_path / "tokenizer"), init=init, train=nlu)
    valid = ValidSettings()
    train(replace(run, steps=4, valid=valid), tmp_path / "frozen")
    train(replace(run, steps=8, valid=valid), tmp_path / "thawed")
    before = model_folder.load(trained).model.state_dict()
    frozen, thawed = weights(tmp_path / "frozen"), weights(tmp_path / "thawed")
    rows = "decoder.embedding.base"
    assert len(frozen[rows]) == len(before[rows]) + 2
    for name, value in before.items():
        same = frozen[name][: len(value)] if name == rows else frozen[name]
        assert torch.equal(same, value), name
        # Text alone moves the decoder and the text encoder, never the audio encoder.
        moved = not torch.equal(thawed[name][: len(value)] if name == rows else thawed[name], value)
        assert moved == (value.numel() > 0 and name.startswith(("decoder.", "text_"))), name


def test_parts_that_are_fixed_stay_as_those_of_the_start(corpus, trained, tmp_path):
    init = InitSettings(model=str(trained), fixed=("text_encoder", "ctc"))
    train(settings(corpus, init=init, steps=2, valid=ValidSettings()), tmp_path / "exp")
    before, after = model_folder.load(trained).model.state_dict(), weights(tmp_path / "exp")
    for name, value in after.items():
        if value.numel() and not name.startswith("cmvn."):
            assert torch.equal(value, before[name]) == name.startswith(("text_encoder.", "ctc.")), (
                name
            )


def test_starting_from_the_audio_encoder_alone(corpus, trained, tmp_path):
    init = InitSettings(model=str(trained), part="audio_encoder", unfreeze=((2, 0.0),))
    slu = (SourceSettings(str(corpus / "train"), "slu"),)
    train(settings(corpus, init=init, train=slu, steps=2, valid=ValidSettings()), tmp_path / "exp")
    before, after = model_folder.load(trained).model.state_dict(), weights(tmp_path / "exp")
    assert not any(name.startswith("text_encoder.") for name in after)
    for name, value in after.items():
        same = torch.equal(value, before[name])
        assert same == (name.startswith(("audio_encoder.", "ctc.", "cmvn.")) or not value.numel())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_shot": True}, "needs a pretrained model"),
        ({"cmvn": None}, "key `cmvn` is missing"),
        ({"tokenizer": "nowhere"}, "nowhere"),
        ({"init": InitSettings(fixed=("ctc",))}, "init.fixed: ctc: .* there is none; give --init"),
        ({"valid": ValidSettings(select="exact_match", decode=0)}, "decode of at least 1, now 0"),
        (
            {"init": InitSettings(part="audio_encoder")},
            "init.part: audio_encoder: .* there is none; give --init",
        ),
        (
            {"max_lost": 1.0, "batch": BatchSettings(max_targets=1)},
            "no utterance can be used",
        ),
        (
            {"init": InitSettings(model="m", part="audio_encoder", fixed=("text_encoder",))},
            "would stay as random as it is",
        ),
    ],
)
def test_runs_that_cannot_work_are_refused(corpus, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train(settings(corpus, **changes), tmp_path / "exp")


def test_zero_shot_needs_pretraining_on_audio_and_text(corpus, tmp_path):
    slu = (SourceSettings(str(corpus / "train"), "slu"),)
    train(settings(corpus, train=slu, steps=1, valid=ValidSettings()), tmp_path / "audio_only")
    init = InitSettings(model=str(tmp_path / "audio_only" / "model"))
    nlu = (SourceSettings(str(corpus / "train"), "nlu"),)
    run = settings(corpus, train=nlu, init=init, zero_shot=True)
    with pytest.raises(InputError, match="on no text task"):
        train(run, tmp_path / "exp")
    with pytest.raises(InputError, match="task nlu needs a model with a text encoder"):
        train(replace(run, zero_shot=False), tmp_path / "other")


def test_a_tokenizer_of_other_pieces_or_a_run_of_other_settings_is_refused(
    corpus, trained, tmp_path
):
    from atat.text.tokenizer import Tokenizer

    Tokenizer.train(["other words altogether"] * 9, ["[IN:PLAY"], 300).save(tmp_path / "other")
    init = InitSettings(model=str(trained))
    with pytest.raises(InputError, match="not an extension of the tokenizer"):
        train(settings(corpus, tokenizer=str(tmp_path / "other"), init=init), tmp_path / "exp")
    with pytest.raises(InputError, match="begun with `mask_words` = 0.15, now 0.3"):
        train(settings(corpus, steps=160, mask_words=0.3), trained.parent)


def test_unusable_data_is_named(corpus, tmp_path):
    data = tiny.make_data(tmp_path / "data", 10)
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    lines = (data / "ctm").read_text().splitlines()
    (data / "ctm").write_text("\n".join(line for line in lines if "-003" not in line) + "\n")
    with pytest.raises(InputError, match="(?s)spk0-003: no word alignment.*max_lost"):
        TaskData(SourceSettings(str(data), "mlm"), encoding)
    assert len(TaskData(SourceSettings(str(data), "mlm"), encoding, max_lost=0.2)) == 9
    (data / "ctm").unlink()
    with pytest.raises(InputError, match="ctm: no such file, but task mlm"):
        TaskData(SourceSettings(str(data), "mlm"), encoding)
    text = (data / "semantics").read_text().replace("[SL:THING", "[SL:THINK", 1)
    (data / "semantics").write_text(text)
    with pytest.raises(InputError, match="semantics: spk0-000: tag .*SL:THINK.*extend"):
        TaskData(SourceSettings(str(data), "slu"), encoding)
    with pytest.raises(InputError, match="16 mel bins, the model expects 80"):
        TaskData(SourceSettings(str(data), "asr"), replace(encoding, mel_bins=80)).example(0)


def test_mlm_masks_whole_words_of_the_audio_freshly_each_time(corpus):
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    masked = TaskData(SourceSettings(str(corpus / "train"), "mlm"), encoding)
    plain = TaskData(SourceSettings(str(corpus / "train"), "asr"), encoding)
    counts, chosen = [], set()
    for draw in range(200):
        example = masked.example(draw % 40, np.random.default_rng(draw))
        words = masked.alignments[example.utterance]
        silent = (example.source == np.float32(LOG_FLOOR)).all(axis=1)
        hidden = [
            word for word in words if silent[slice(*frames_touching(word.start, word.end))].all()
        ]
        covered = np.zeros(len(silent), dtype=bool)
        for word in hidden:
            covered[slice(*frames_touching(word.start, word.end))] = True
        assert (covered == silent).all() and example.target[1:] == plain.example(draw % 40).target[
            1:
        ]
        np.testing.assert_array_equal(
            example.source[~silent], plain.example(draw % 40).source[~silent]
        )
        counts.append(len(hidden))
        chosen.add((example.utterance, tuple(word.text for word in hidden)))
    assert min(counts) == 1  # of four words, 15 % is less than one: one is hidden
    assert len(chosen) > 80


def test_the_mean_of_checkpoints(corpus, tmp_path):
    valid = ValidSettings(average=2)
    train(settings(corpus, steps=8, valid=valid), tmp_path / "exp")
    paths = checkpoint.paths_in(tmp_path / "exp")
    states = [checkpoint.load(path)["model"] for path in paths]
    after = weights(tmp_path / "exp")
    name = "decoder.norm.weight"
    torch.testing.assert_close(after[name], (states[-1][name] + states[-2][name]) / 2)


def test_the_loss_in_the_log_is_what_is_minimised_and_its_terms_are_unweighted(corpus, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    valid = ValidSettings(sources=(SourceSettings(str(corpus / "dev"), "slu"),), decode=0)
    run = settings(corpus, steps=1, log_every=1, model=tiny.without_dropout(), valid=valid)
    trainer = assembly.build(system, run, tmp_path / "unused", torch.device("cpu"))
    batches = trainer.batches[0]
    sums = [trainer.model.losses(batch) for batch in batches]
    ce = sum(float(s["ce"].total.detach()) for s in sums) / sum(b.counts()["ce"] for b in batches)
    ctc = sum(float(s["ctc"].total.detach()) for s in sums if "ctc" in s)
    ctc /= sum(b.counts()["ctc"] for b in batches)
    assert run.model.ctc.weight == 0.3 and ctc > 0.1

    train(run, tmp_path / "exp")
    events = EventAccumulator(str(tmp_path / "exp" / "tensorboard"))
    events.Reload()
    shown = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert shown["train/ce"] == pytest.approx(ce, rel=1e-5)
    assert shown["train/ctc"] == pytest.approx(ctc, rel=1e-5)
    assert shown["train/loss"] == pytest.approx(ce + 0.3 * ctc, rel=1e-5)
    about = json.loads((tmp_path / "exp" / "train.json").read_text())
    (last,) = about["validations"][-1]["sources"]
    assert shown["valid_loss/slu/dev"] == pytest.approx(last["loss"], rel=1e-5)


def test_a_figure_of_less_than_one_target_is_per_target_too(corpus, tmp_path):
    trainer = assembly.build(system, settings(corpus), tmp_path, torch.device("cpu"))
    trainer._of = {"ce": "ce", "ctc": "ctc"}
    totals = {"ce": 0.2, "weighted ce": 0.2, "count ce": 0.1}
    totals |= {"ctc": 0.0, "weighted ctc": 0.0, "count ctc": 0.0}
    assert trainer._shown(totals) == {"loss": pytest.approx(2.0), "ce": pytest.approx(2.0)}


def test_a_run_that_was_refused_before_it_began_may_be_mended(corpus, tmp_path):
    out = tmp_path / "exp"
    run = settings(corpus, steps=1, valid=ValidSettings(), batch=BatchSettings(examples=1))
    with pytest.raises(InputError, match=r"batch.examples \(1\) is too small"):
        train(run, out)
    train(replace(run, batch=BatchSettings(examples=12), precision="auto"), out)
    assert config.read_yaml(out / "config.yaml")["batch"]["examples"] == 12
    with pytest.raises(InputError, match="begun with `batch`"):
        train(run, out)


@pytest.mark.parametrize("name", ["my models #2", "20240501", "a: b", "é😀'\""])
def test_the_start_is_a_path_and_no_yaml(corpus, tmp_path, monkeypatch, name):
    config.save(tmp_path / "conf.yaml", settings(corpus))
    monkeypatch.chdir(tmp_path)
    begun = []
    monkeypatch.setattr(train_cli, "train", lambda run, *_: begun.append(run.init.model))
    train_cli.main(["--config", "conf.yaml", "--out", "exp", "--init", name])
    assert begun == [name]


def test_a_training_says_what_it_is_and_what_it_will_take(corpus, tmp_path, capsys):
    run = settings(corpus, steps=6, valid=ValidSettings())
    train(run, tmp_path / "exp")
    said, log = capsys.readouterr().err, (tmp_path / "exp" / "train.log").read_text()
    parameters = sum(
        p.numel() for p in model_folder.load(tmp_path / "exp" / "model").model.parameters()
    )
    hours = kaldi_dir.load(corpus / "train")
    hours = sum(utterance.num_frames for utterance in hours) / 360000
    for sentence in (
        f"{parameters:,} parameters, on the CPU (1 thread) in fp32; 6 steps of 12 examples; "
        f"{hours:.2f} hours of recordings and 40 sentences of text",
        "for the 3 remaining steps, validation not counted",
    ):
        assert sentence in said and sentence in log
    assert "first step, batch 1 of " in said  # a slow first step shows that it moves
    assert "days on this CPU" not in said


def test_a_validation_shows_how_far_it_is_the_last_one_too(corpus, tmp_path, capsys):
    valid = replace(settings(corpus).valid, every=100)
    run = settings(corpus, steps=2, valid=valid)
    trainer = assembly.build(system, run, tmp_path / "unused", torch.device("cpu"))
    told: list[str] = []
    validate(system, trainer.model, trainer.valid, torch.device("cpu"), 4, told.append)
    for task in ("slu", "nlu"):
        assert f"{task}/dev, 0 of 12" in told and f"{task}/dev, 12 of 12" in told
        assert f"{task}, 0 of 4 decoded" in told
    capsys.readouterr()
    train(run, tmp_path / "exp")
    bars = capsys.readouterr().err.split("\r")
    assert any("2/2" in bar and "validating slu/dev, 0 of 12" in bar for bar in bars)
    assert "validating" not in bars[-1]


def test_a_model_too_large_for_a_cpu_is_a_warning_before_its_first_step(
    corpus, tmp_path, monkeypatch, caplog
):
    from atat.engine.trainer import Trainer

    def stopped(self, step, batches):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(settings(corpus, steps=10**9, valid=ValidSettings()), tmp_path / "exp")
    assert "days on this CPU: 77,294 parameters x" in caplog.text


def test_weights_that_are_not_finite_are_never_kept(corpus, tmp_path, monkeypatch):
    run = settings(corpus, steps=2, valid=ValidSettings(), checkpoint_every=1)
    wild = replace(run, optim=OptimSettings(schedule="constant", peak=1e300, warmup=1))
    with pytest.raises(InputError, match="step 1: .*not finite.*`.*weight` has .*NaN or infinite"):
        train(wild, tmp_path / "wild")
    assert not checkpoint.paths_in(tmp_path / "wild") and not (tmp_path / "wild" / "model").exists()

    train(run, tmp_path / "exp")
    before = (tmp_path / "exp" / "model" / "model.safetensors").read_bytes()
    (tmp_path / "exp" / "train.json").unlink()
    newest = checkpoint.paths_in(tmp_path / "exp")[-1]
    state = checkpoint.load(newest)
    state["model"]["decoder.norm.weight"][3] = float("nan")
    checkpoint.save(newest, state)
    with pytest.raises(InputError, match="`decoder.norm.weight` has 1 of 32 that are NaN"):
        train(run, tmp_path / "exp")
    assert (tmp_path / "exp" / "model" / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "exp" / "train.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.json", '{"finished": tr', "train.json:1: torn or not JSON .*remove it"),
        ("train.json", '["finished"]', "train.json: expected a JSON object, found list; remove it"),
        ("train.json", '{"finished": true}', "train.json: damaged, no number of steps.*remove it"),
        ("inputs.json", '{"data', "inputs.json:1: torn or not JSON .*remove it to go on"),
        ("inputs.json", "\x00\xff", "inputs.json: byte 2 is not UTF-8; remove it"),
        ("config.yaml", "steps: [", "config.yaml:1: not valid YAML"),
        ("config.yaml", "", "config.yaml: key `train` is missing"),
    ],
)
def test_a_torn_file_of_a_run_is_named_and_removed_it_is_made_again(
    corpus, tmp_path, name, content, message
):
    run = settings(corpus, steps=1, valid=ValidSettings())
    config.save(tmp_path / "conf.yaml", run)
    arguments = ["--config", str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "exp")]
    train_cli.main(arguments)
    (tmp_path / "exp" / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        train_cli.main(arguments)
    if name != "config.yaml":
        (tmp_path / "exp" / name).unlink()
        train_cli.main(arguments)
        assert json.loads((tmp_path / "exp" / "train.json").read_text())["finished"]


def test_what_is_damaged_is_named(corpus, trained, tmp_path):
    with pytest.raises(InputError, match="not a packed model.*did you mean"):
        model_folder.load(trained.parent)
    broken = tmp_path / "checkpoint-00000001.pt"
    for content in (b"", b"half", b"PK\x05\x06" + bytes(18)):
        broken.write_bytes(content)
        with pytest.raises(InputError, match="not a readable checkpoint .*remove it to go on"):
            checkpoint.load(broken)
    for state in ([1], {"step": 3}, {"model": print}):
        torch.save(state, broken)
        with pytest.raises(InputError, match="not a readable checkpoint .*remove it to go on"):
            checkpoint.load(broken)
    with pytest.raises(InputError, match="best.pt: cannot be read"):
        checkpoint.load(tmp_path / "best.pt")
    broken.rename(tmp_path / "best.pt")
    with pytest.raises(InputError, match="best.pt: .*the model is that of the last step"):
        checkpoint.load(tmp_path / "best.pt")


def test_a_bit_that_flips_anywhere_in_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "checkpoint-00000001.pt"
    state = {"model": {"weight": torch.randn(40, 30)}, "step": 3}
    checkpoint.save(path, state)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    places = [*range(8), *range(len(whole) - 120, len(whole)), *rng.integers(0, len(whole), 200)]
    for place in map(int, places):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(InputError, match="not a readable checkpoint"):
            checkpoint.load(path)
    for size in (0, 1, 50, len(whole) // 2, len(whole) - 90, len(whole) - 71, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a readable checkpoint"):
            checkpoint.load(path)
    path.write_bytes(whole)
    assert torch.equal(checkpoint.load(path)["model"]["weight"], state["model"]["weight"])
    # Still a zip and torch's own, and one without a digest is read as before there were any.
    assert zipfile.ZipFile(path).testzip() is None
    assert torch.load(path, weights_only=True)["step"] == 3
    torch.save(state, path)
    assert checkpoint.load(path)["step"] == 3


def test_behind_a_damaged_checkpoint_the_run_goes_on_from_the_one_before(corpus, tmp_path, caplog):
    run = settings(corpus, valid=ValidSettings(average=3))
    train(run, tmp_path / "straight")
    shutil.copytree(tmp_path / "straight", tmp_path / "damaged")
    (tmp_path / "damaged" / "train.json").unlink()
    paths = checkpoint.paths_in(tmp_path / "damaged")
    for path in paths[1:]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    train(run, tmp_path / "damaged")
    assert_same(weights(tmp_path / "straight"), weights(tmp_path / "damaged"))
    for path in paths[1:]:
        assert f"{path}: damaged" in caplog.text and Path(f"{path}.damaged").is_file()
    assert "continuing from step 4 instead" in caplog.text
    for path in checkpoint.paths_in(tmp_path / "damaged"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no earlier checkpoint can be read.*begin from step 0"):
        train(run, tmp_path / "damaged")


def test_the_command_line_trains_and_finished_runs_return_at_once(corpus, tmp_path, capsys):
    config.save(tmp_path / "conf.yaml", settings(corpus, steps=2, valid=ValidSettings()))
    arguments = ["--config", str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "exp")]
    train_cli.main([*arguments, "--seed", "4"])
    assert json.loads((tmp_path / "exp" / "train.json").read_text())["seed"] == 4
    train_cli.main([*arguments, "--seed", "4"])
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(InputError, match="begun with `seed` = 4, now 5"):
        train_cli.main([*arguments, "--seed", "5"])


@pytest.mark.parametrize(("option", "value"), [("--beam", "0"), ("--nbest", "0")])
def test_no_decoding_begins_with_options_that_cannot_work(trained, tmp_path, option, value):
    arguments = ["--model", str(trained), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match=f"{option} is 0; expected at least 1"):
        decode.main([*arguments, option, value])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((30, 40), "features of 40 mel bins, the model expects 16"),
        ((0, 16), "shorter than one frame"),
    ],
)
def test_features_the_model_cannot_read_are_named(trained, tmp_path, shape, message):
    ark.write_matrix(tmp_path / "odd.ark", np.zeros(shape, np.float32))
    kaldi_dir.write(
        tmp_path / "odd",
        [
            kaldi_dir.Utterance(
                id="a-1", speaker="a", feats=str(tmp_path / "odd.ark"), num_frames=30
            )
        ],
    )
    arguments = ["--model", str(trained), "--data", str(tmp_path / "odd"), "--task", "slu"]
    with pytest.raises(InputError, match=f"(?s)a-1.*{message}"):
        decode.main([*arguments, "--out", str(tmp_path / "out")])


@pytest.fixture
def own_corpus(corpus, tmp_path):
    """The corpus in a place where a test may change it."""
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


def test_a_run_notices_that_its_data_is_no_longer_the_same(own_corpus, tmp_path, capsys):
    config.save(tmp_path / "conf.yaml", settings(own_corpus, steps=2, valid=ValidSettings()))
    arguments = ["--config", str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "exp")]
    train_cli.main(arguments)
    text = (own_corpus / "train" / "text").read_text()
    (own_corpus / "train" / "text").write_text(text.replace("play", "stop"))
    with pytest.raises(InputError, match="train/text has changed since this training began"):
        train_cli.main(arguments)
    (own_corpus / "train" / "text").write_text(text)
    tokenizer = Path(settings(own_corpus).tokenizer) / "tokenizer.json"
    about = tokenizer.read_text()
    tokenizer.write_text(about + " ")
    with pytest.raises(InputError, match="tokenizer.json has changed since"):
        train_cli.main(arguments)
    tokenizer.write_text(about)
    shutil.rmtree(own_corpus / "dev")
    train_cli.main(arguments)  # a finished run outlives its data
    assert "finished before" in capsys.readouterr().out


def test_a_changed_data_dir_is_decoded_anew(own_corpus, trained, tmp_path, capsys):
    arguments = ["--model", str(trained), "--data", str(own_corpus / "dev"), "--task", "nlu"]
    arguments += ["--out", str(tmp_path / "out")]
    decode.main(arguments)
    text = tables.read_table(own_corpus / "dev" / "text")
    first, second = list(text)[:2]
    text[first], text[second] = text[second], text[first]
    tables.write_table(own_corpus / "dev" / "text", text)
    before = tables.read_table(tmp_path / "out" / "hyp")
    decode.main(arguments)
    after = tables.read_table(tmp_path / "out" / "hyp")
    assert "finished before" not in capsys.readouterr().out
    assert (after[first], after[second]) == (before[second], before[first])
    assert before[first] != before[second]
