"""Cho et al. 2020: schedules, teachers, what a student learns from them, and both through the
engine. The corpus is that of `tone_commands`, the teachers' BERT a tiny one from scratch.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tone_commands
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tone_commands import interrupted, trained

from atat import Recognizer
from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.engine import checkpoint, decode, model_folder, pack, quantize, registry
from atat.engine.settings import (
    AdamSettings,
    BatchSettings,
    InitSettings,
    SourceSettings,
    ValidSettings,
)
from atat.nn.text_encoder import BertTextEncoder
from atat.prepare import miniature_bert
from atat.scoring import score_command
from atat.speech import audio
from atat.systems.distill import build
from atat.systems.distill.data import LessonBatch, TaughtRecordings
from atat.systems.distill.packed import StudentPacked, TeacherPacked
from atat.systems.distill.schedules import Calendar, share
from atat.systems.distill.settings import (
    INTENT,
    TEACHER,
    DistillationSettings,
    DistillSettings,
    TeacherSettings,
)
from atat.systems.distill.student import Student, distance
from atat.systems.distill.teacher import logits_of, padded
from atat.systems.joint import miniature_conf
from atat.systems.lugosch.settings import ACOUSTIC, CropSettings, LugoschSettings
from atat.text.labels import Labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone_commands.make_data(tmp_path_factory.mktemp("distill") / "data")


@pytest.fixture(scope="module")
def bert(data: Path) -> Path:
    miniature_bert.main(["--data", str(data), "--out", str(data.parent / "bert")])
    return data.parent / "bert"


@pytest.fixture(scope="module")
def acoustic(data: Path) -> Path:
    """A packed model of phones and words that knows the data by heart."""
    values = {"system": "lugosch", "crop": CropSettings(mean=10.0), "steps": 55}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atat.nn.acoustic.DROPOUT", 0.0)
        conf = LugoschSettings(**{**tone_commands.run(data, ACOUSTIC), **values})
        return trained(conf, data.parent / "acoustic") / "model"


def teaching(data: Path, bert: Path, kind: Any, **changes: Any) -> DistillSettings:
    values: dict[str, Any] = {
        "system": "distill",
        "teacher": TeacherSettings(bert=str(bert), kind=kind),
        "optim": AdamSettings(peak=5e-3),
    }
    return DistillSettings(**{**tone_commands.run(data, TEACHER), **values, **changes})


@pytest.fixture(scope="module")
def teachers(data: Path, bert: Path) -> dict[str, Path]:
    """A packed model of each kind."""
    return {
        kind: trained(teaching(data, bert, kind), data.parent / kind) / "model"
        for kind in ("teacher", "professor")
    }


def learning(data: Path, acoustic: Path, distill: dict[str, Any], **changes: Any) -> Any:
    named = {
        key: str(value) if isinstance(value, Path) else value for key, value in distill.items()
    }
    values: dict[str, Any] = {
        "system": "distill",
        "init": InitSettings(model=str(acoustic)),
        "distill": DistillationSettings(**named),
    }
    return DistillSettings(**{**tone_commands.run(data, INTENT), **values, **changes})


@pytest.fixture(scope="module")
def student(data: Path, acoustic: Path, teachers: dict[str, Path]) -> Path:
    """The run of a student of both."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atat.nn.acoustic.DROPOUT", 0.0)
        conf = learning(data, acoustic, {**teachers, "schedule": "err"}, steps=90)
        return trained(conf, data.parent / "student")


# --------------------------------------------------------------------------- schedules, distance


@pytest.mark.parametrize(
    "schedule, weight, values",
    [
        ("constant", 0.1, [0.1] * 8),
        ("constant", 0.5, [0.5] * 8),
        ("err", 0.1, [0.25] * 8),
        ("exp", 0.1, [1, 1 / math.e, *(math.exp(-n) for n in range(2, 8))]),
        ("tri", 0.1, [0, 0, 0.05, 0.1, 0.05, 0, 0, 0]),  # the middle of eight epochs is the fourth
    ],
)
def test_the_share_of_the_teachers_over_eight_epochs(
    schedule: Any, weight: float, values: list[float]
) -> None:
    found = [share(schedule, weight, error=0.25, epoch=t, epochs=8) for t in range(1, 9)]
    assert found == pytest.approx(values)


@pytest.mark.parametrize("schedule", ["constant", "err", "exp", "tri"])
def test_a_triangle_over_the_run_is_moved_by_other_steps(schedule: Any) -> None:
    source = SourceSettings("data", INTENT)
    distill = DistillationSettings(teacher="t", schedule=schedule)
    run = DistillSettings(train=(source,), steps=8, init=InitSettings(model="m"), distill=distill)
    assert bool(run.also_by_steps()) == (schedule == "tri")


def test_epochs_are_counted_from_one() -> None:
    calendar = Calendar(steps_of_epoch=3, steps=7)
    assert [calendar.epoch(step) for step in range(7)] == [1, 1, 1, 2, 2, 2, 3]
    assert calendar.epochs == 3 and Calendar(3, 6).epochs == 2


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_the_distance_is_a_mean_over_logits(loss: Any) -> None:
    logits, lessons = torch.tensor([[0.5, -2.0, 1.0]]), torch.tensor([[[0.0, 1.0, 1.0]]])
    each = {"mse": [0.25, 9.0, 0.0], "smooth_l1": [0.125, 2.5, 0.0]}[loss]
    assert distance(logits, lessons, 0.3, loss).tolist() == pytest.approx([sum(each) / 3])


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_a_hybrid_is_the_teacher_at_gamma_0_and_the_professor_at_1(loss: Any) -> None:
    torch.manual_seed(0)
    logits, lessons = torch.randn(5, 24), 3 * torch.randn(5, 2, 24)
    alone = [distance(logits, lessons[:, [kind]], 0.5, loss) for kind in (0, 1)]
    for gamma in (0.0, 1.0):
        assert torch.equal(distance(logits, lessons, gamma, loss), alone[round(gamma)])
    mixed = 0.75 * alone[0] + 0.25 * alone[1]
    torch.testing.assert_close(distance(logits, lessons, 0.25, loss), mixed)


@pytest.mark.parametrize("schedule", ["constant", "err", "exp", "tri"])
def test_the_loss_is_the_papers_and_its_shares_are_numbers(schedule: Any) -> None:
    """L = (1 - beta) CE + beta ((1 - gamma) D(teacher) + gamma D(professor)), computed plainly."""
    torch.manual_seed(1)
    labels = Labels(fields={"IN": ("A", "B"), "OBJECT": ("", "x", "y")})
    model = Student(labels).eval()
    settings = DistillationSettings(schedule=schedule, weight=0.3, loss="mse")
    model.distillation, model.calendar = settings, Calendar(2, 12)
    batch = LessonBatch(
        utterances=("a", "b", "c", "d"),
        samples=torch.randn(4, 6000),
        lengths=torch.tensor([6000, 5000, 4000, 3000]),
        classes=torch.tensor([[0, 1], [1, 2], [0, 0], [1, 1]]),
        known=torch.ones(4, dtype=torch.bool),
        lessons=torch.randn(4, 2, 5),
        step=5,  # of the third of six epochs
    )
    divisors = batch.counts()
    terms = model.losses(batch)
    loss = sum(term.weight * term.total / divisors[term.of or n] for n, term in terms.items())
    assert isinstance(loss, torch.Tensor)
    found = torch.autograd.grad(loss, list(model.intent.parameters()))

    logits = model(batch.samples, batch.lengths)
    intents, objects = logits.split([2, 3], 1)
    right = (intents.argmax(1) == batch.classes[:, 0]) & (objects.argmax(1) == batch.classes[:, 1])
    error = float(1 - right.float().mean())
    assert 0 < error <= 1
    beta = {"constant": 0.3, "err": error, "exp": math.exp(-2), "tri": 0.3}[schedule]
    cross = torch.nn.functional.cross_entropy
    ce = cross(intents, batch.classes[:, 0]) + cross(objects, batch.classes[:, 1])
    apart = [((logits - batch.lessons[:, kind]) ** 2).mean() for kind in (0, 1)]
    plain = (1 - beta) * ce + beta * ((1 - error) * apart[0] + error * apart[1])
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for one, other in zip(found, torch.autograd.grad(plain, list(model.intent.parameters()))):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_error_of_a_batch_is_that_of_its_classes_in_whatever_order_slots_are() -> None:
    """Once all classes are right, nothing is left to the teachers of schedule err."""
    labels = Labels(fields={"IN": ("A", "B"), "X": ("", "x"), "Y": ("", "y")})
    trees = ("[IN:B [SL:X x ] [SL:Y y ] ]", "[IN:B [SL:Y y ] [SL:X x ] ]")
    assert [labels.can_say(tree) for tree in trees] == [True, False]
    model = Student(labels).eval()
    model.distillation = DistillationSettings(schedule="err")
    head = model.intent.head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 1.0]))
    batch = LessonBatch(
        utterances=("a", "b"),
        samples=torch.randn(2, 6000),
        lengths=torch.tensor([6000, 6000]),
        classes=torch.tensor([labels.classes(tree) for tree in trees]),
        known=torch.tensor([labels.can_say(tree) for tree in trees]),
        lessons=torch.randn(2, 1, 6),
    )
    terms = model.losses(batch)
    assert (terms["intent"].weight, terms["distilled"].weight) == (1.0, 0.0)
    assert float(terms["exact_match"].total) == 1  # the other comes out in another order


# --------------------------------------------------------------------------- teachers


def test_a_teacher_reads_cls_and_a_professor_the_maximum(teachers: dict[str, Path]) -> None:
    for kind, folder in teachers.items():
        packed = model_folder.load(folder)
        assert isinstance(packed, TeacherPacked) and packed.model.kind == kind
        sentences = [packed.ids(text) for text in ("on", "off lamp", "on heat heat off")]
        with torch.no_grad():
            together = packed.model(*padded(sentences))
            for row, sentence in zip(together, sentences):
                pieces, lengths = padded([sentence])
                alone = packed.model.encoder(pieces, lengths)[0]  # (S, C)
                wanted = alone[0] if kind == "teacher" else alone.max(0).values
                torch.testing.assert_close(row, wanted, rtol=1e-4, atol=1e-5)


def test_a_sentence_is_cut_after_so_many_pieces(data: Path, bert: Path) -> None:
    settings = TeacherSettings(bert=str(bert), max_pieces=4)
    parts = build.build(teaching(data, bert, "teacher", teacher=settings))
    ids = parts.packed.ids
    assert len(ids("on lamp off heat on")) == 4 and ids("on lamp off") == ids("on lamp heat")


def test_the_loss_of_a_teacher_is_that_of_what_training_has(
    data: Path, renamed: Path, bert: Path
) -> None:
    valid = ValidSettings((SourceSettings(str(renamed), TEACHER),))
    source = build.build(teaching(data, bert, "teacher", valid=valid)).valid[0]
    batch = source.collate([source.example(n) for n in range(len(source))])
    # Two of the eight commands have a slot that is unknown; of each one of two fields counts.
    assert batch.counts() == {"intent": 7.0, "commands": 8.0}


def test_no_more_pieces_than_bert_has_positions(data: Path, bert: Path) -> None:
    settings = TeacherSettings(bert=str(bert), max_pieces=513)
    with pytest.raises(InputError, match=r"max_pieces is 513, but .* knows 512 positions; set it"):
        build.build(teaching(data, bert, "teacher", teacher=settings))


def test_what_no_longer_has_a_pooler_goes_on_from_what_had_one(
    data: Path, bert: Path, tmp_path: Path
) -> None:
    """A training, and a packed model."""

    class WithPooler(BertTextEncoder):
        def __init__(self, bert: Any, width: int) -> None:
            pooler = bert.pooler
            super().__init__(bert, width)
            bert.pooler = pooler

    conf = teaching(data, bert, "professor", steps=9, checkpoint_every=4)
    straight = trained(conf, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "BertTextEncoder", WithPooler)
        run = trained(replace(conf, steps=4), tmp_path / "run")
    name = "encoder.bert.pooler.dense.weight"
    had, had_not = (model_folder.load(folder / "model") for folder in (run, straight))
    assert name in load_file(run / "model" / "model.safetensors")
    assert had.model.state_dict().keys() == had_not.model.state_dict().keys()
    trained(conf, run)
    one, other = (checkpoint.newest(folder)[0] for folder in (straight, run))
    assert one is not None and other is not None
    assert name not in one["model"] and one["model"].keys() == other["model"].keys()
    for parameter, value in one["model"].items():
        assert torch.equal(value, other["model"][parameter]), parameter
    for before, after in zip(*(state["optimizer"]["state"].values() for state in (one, other))):
        assert torch.equal(before["exp_avg"], after["exp_avg"])
    pack.main([str(run), "--average", "3", "--out", str(tmp_path / "mean")])  # of steps 4, 8 and 9


def test_all_of_a_teacher_learns(data: Path, bert: Path) -> None:
    parts = build.build(teaching(data, bert, "teacher"))
    source, model = parts.train[0], parts.packed.model
    sum(
        term.total for term in model.losses(source.collate([source.example(1)])).values()
    ).backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []


def test_teachers_learn_and_are_decoded_on_text(data: Path, teachers: dict[str, Path]) -> None:
    (data.parent / "sentences").mkdir()
    for name in ("text", "semantics", "utt2spk"):  # no recording is needed
        shutil.copy(data / name, data.parent / "sentences")
    for folder in teachers.values():
        assert decoded(folder, data.parent / "sentences", TEACHER) == 100.0
        found = Recognizer.load(folder)(text="Off, heat!")
        assert (found.intent, found.text) == ("OFF", "[IN:OFF [SL:OBJECT heat ] ]")
        with pytest.raises(InputError, match="trained on teacher and does nothing else"):
            Recognizer.load(folder)(np.zeros(16000, dtype=np.float32))


def decoded(model: Path, data: Path, task: str) -> float:
    """The exact match of `atat decode` and `atat score`."""
    out = model.parent / f"decode_{task}"
    decode.main(["--model", str(model), "--data", str(data), "--task", task, "--out", str(out)])
    score_command.main(["--data", str(data), "--decoded", str(out)])
    metrics = json.loads((out / "score.json").read_text())["metrics"]
    value: float = metrics["em_full"]["value"]
    return value


# --------------------------------------------------------------------------- students


def test_lessons_are_what_the_teachers_say_of_the_text_of_a_recording(
    data: Path, acoustic: Path, teachers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(model: Any, ids: Any, texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return logits_of(model, ids, texts)

    monkeypatch.setattr(build, "logits_of", counted)
    source = build.build(learning(data, acoustic, teachers)).train[0]
    assert isinstance(source, TaughtRecordings)
    texts = {utterance.id: utterance.text or "" for utterance in source.utterances}
    assert len(texts) == 8 and sorted(asked) == sorted(2 * [*set(texts.values())])
    batch = source.at(4).collate([source.example(number) for number in (5, 0, 7)])
    assert isinstance(batch, LessonBatch) and batch.step == 4
    for row, name in zip(batch.lessons, batch.utterances):
        for said, folder in zip(row, teachers.values()):
            packed = model_folder.load(folder)
            assert isinstance(packed, TeacherPacked)
            wanted = logits_of(packed.model, packed.ids, [texts[name]])[0]
            torch.testing.assert_close(said.numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert not isinstance(source.collate([source.example(0)]), LessonBatch)  # in validation


def test_without_a_share_the_student_is_lugosch_to_the_bit(
    data: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    start = InitSettings(model=str(acoustic))
    values = {"system": "lugosch", "steps": 9, "init": start, "unfreeze": "none"}
    lugosch = trained(
        LugoschSettings(**{**tone_commands.run(data, INTENT), **values}), data.parent / "lugosch"
    )
    none = {**teachers, "schedule": "constant", "weight": 0.0}
    alone = trained(learning(data, acoustic, none, steps=9), data.parent / "alone")
    one, other = (checkpoint.newest(run)[0] for run in (lugosch, alone))
    assert one is not None and other is not None
    assert one["model"].keys() == other["model"].keys()
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name
    for before, after in zip(*(state["optimizer"]["state"].values() for state in (one, other))):
        assert torch.equal(before["exp_avg"], after["exp_avg"])
    taught = trained(
        learning(data, acoustic, {**none, "weight": 0.5}, steps=9), data.parent / "taught"
    )
    state = model_folder.load(taught / "model").model.state_dict()
    moved = [name for name, value in state.items() if not torch.equal(value, one["model"][name])]
    assert moved and all(name.startswith("intent.") for name in moved)


def test_the_loss_that_is_shown_is_the_one_that_was_minimised(
    data: Path, acoustic: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """Of several steps its mean, although the weights of its terms are others in each."""
    conf = learning(data, acoustic, {**teachers, "schedule": "exp"}, steps=3)
    shown = {}
    for every in (1, 3):
        run = trained(replace(conf, log_every=every), tmp_path / f"every{every}")
        events = EventAccumulator(str(run / "tensorboard"))
        events.Reload()
        shown[every] = [event.value for event in events.Scalars("train/loss")]
    assert len(shown[1]) == 3 and len(shown[3]) == 1
    assert shown[3][0] == pytest.approx(sum(shown[1]) / 3, rel=1e-5)


def test_a_student_learns_and_is_decoded(data: Path, student: Path) -> None:
    assert decoded(student / "model", data, INTENT) == 100.0
    packed = model_folder.load(student / "model")
    assert isinstance(packed, StudentPacked)
    utterances = list(kaldi_dir.load(data))
    recordings = [audio.load(str(one.wav)) for one in utterances]
    recognizer = Recognizer.load(student / "model")
    together = recognizer.batch(recordings)
    for utterance, samples, answer in zip(utterances, recordings, together):
        alone = recognizer(samples)
        assert alone.text == answer.text == utterance.semantics
        assert alone.nbest[0].score == pytest.approx(answer.nbest[0].score, abs=1e-4)
    with pytest.raises(InputError, match="trained on intent and does nothing else"):
        recognizer(text="on heat")


def test_resumed_is_uninterrupted(
    data: Path, bert: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    """An epoch is one step; of exp the share of the teachers changes with it."""
    shares = {**teachers, "schedule": "exp"}
    for name, conf in (
        ("s", learning(data, acoustic, shares, steps=9, checkpoint_every=4)),
        ("t", teaching(data, bert, "professor", steps=9, checkpoint_every=4)),
    ):
        straight = trained(conf, data.parent / f"straight_{name}")
        resumed = interrupted(conf, data.parent / f"resumed_{name}", 7)
        one, other = (checkpoint.newest(run)[0] for run in (straight, resumed))
        assert one is not None and other is not None
        for parameter, value in one["model"].items():
            assert torch.equal(value, other["model"][parameter]), parameter


def test_models_are_packed_again_and_made_smaller(
    data: Path, student: Path, teachers: dict[str, Path]
) -> None:
    pack.main([str(student), "--average", "2", "--out", str(student / "mean")])
    assert isinstance(model_folder.load(student / "mean"), StudentPacked)
    quantize.main(["--model", str(student / "model"), "--out", str(student / "int8")])
    samples = audio.load(str(next(iter(kaldi_dir.load(data))).wav))
    exact, small = (Recognizer.load(student / name) for name in ("model", "int8"))
    assert small.packed.weights == "int8" and small(samples).text == exact(samples).text
    said = [one(samples).nbest[0].score for one in (exact, small)]
    assert said[1] == pytest.approx(said[0], abs=0.1)
    folder = teachers["professor"]
    quantize.main(["--model", str(folder), "--out", str(folder.parent / "int8")])
    reader, little = Recognizer.load(folder), Recognizer.load(folder.parent / "int8")
    read = [one(text="on lamp") for one in (reader, little)]
    assert little.packed.weights == "int8" and read[0].text == read[1].text
    assert read[1].nbest[0].score == pytest.approx(read[0].nbest[0].score, abs=0.1)


# --------------------------------------------------------------------------- bad input


def test_a_teacher_trained_on_other_labels_is_refused(
    data: Path, renamed: Path, bert: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    with pytest.raises(
        InputError, match=r"trained on other labels .* cannot say \[IN:ON \[SL:OBJECT tea"
    ):
        build.build(learning(renamed, acoustic, teachers))
    other = trained(teaching(renamed, bert, "professor", steps=1), renamed.parent / "other")
    both = {"teacher": teachers["teacher"], "professor": other / "model"}
    with pytest.raises(InputError, match="both teachers of a student need the same"):
        build.build(learning(data, acoustic, both))


def test_what_teaches_must_be_a_teacher_of_its_kind(
    data: Path, acoustic: Path, student: Path, teachers: dict[str, Path]
) -> None:
    for named, message in (
        ({"teacher": teachers["professor"]}, "is a professor .* name it as distill.professor"),
        ({"teacher": acoustic}, "model of the system `lugosch` .* expected one of `distill`"),
        ({"professor": student / "model"}, "for the tasks intent; expected one of `distill`"),
        ({"professor": data}, "not a packed model"),
    ):
        with pytest.raises(InputError, match=message):
            build.build(learning(data, acoustic, named))


def test_a_start_without_an_acoustic_model_is_refused(
    data: Path, teachers: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match="there is no acoustic model"):
        build.build(learning(data, teachers["teacher"], teachers))


def test_recordings_without_text_cannot_be_taught(
    copied: Path, data: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    valid = ValidSettings(sources=(SourceSettings(str(copied), INTENT),))
    lines = (copied / "text").read_text().splitlines(keepends=True)
    (copied / "text").write_text("".join(["anna-0 \n", *lines[1:]]))
    with pytest.raises(InputError, match="1 of 8 utterances cannot be used.*(?s:.*)no text"):
        build.build(learning(copied, acoustic, teachers))
    (copied / "text").unlink()
    with pytest.raises(InputError, match="text: missing or empty, but task intent needs it"):
        build.build(learning(copied, acoustic, teachers))
    parts = build.build(learning(data, acoustic, teachers, valid=valid))  # where none is needed
    assert len(parts.valid[0]) == 8


def test_settings_that_do_not_fit_are_refused(
    data: Path, bert: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    one, other = learning(data, acoustic, teachers), teaching(data, bert, "teacher")
    for wrong, message in (
        (lambda: replace(one, distill=DistillationSettings()), "neither a teacher nor a professor"),
        (lambda: replace(one, init=InitSettings()), "`init.model` is missing"),
        (lambda: replace(one, train=other.train), "tasks teacher and intent; a run has one"),
        (lambda: replace(other, teacher=TeacherSettings()), "`teacher.bert` is missing"),
        (lambda: replace(other, init=one.init), "a teacher starts from teacher.bert"),
        (lambda: DistillationSettings(weight=1.5), "weight is 1.5; expected a share"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    wrong_bert = teaching(data, bert, "teacher", teacher=TeacherSettings(bert=str(data)))
    with pytest.raises(InputError, match="teacher.bert: cannot load"):
        build.build(wrong_bert)


def test_other_keys_and_values_are_named(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    lines = "system: distill\nsteps: 1\ntrain: [{data: d, task: intent}]\n"
    for more, message in (
        (
            "distill: {schedule: linear}",
            "distill.schedule.*expected one of constant, err, exp, tri",
        ),
        ("distill: {loss: l1}", "distill.loss.*expected one of mse, smooth_l1"),
        ("distill: {teachers: x}", "unknown key `distill.teachers`; did you mean `teacher`"),
    ):
        path.write_text(lines + more)
        with pytest.raises(InputError, match=message):
            registry.load_settings(path)


def test_a_damaged_folder_is_refused(teachers: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(teachers["teacher"], tmp_path / "model")
    (folder / "SHA256SUMS").unlink()
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("- teacher", "- slu"))
    with pytest.raises(InputError, match=r"`tasks` is \['slu'\]; expected \[teacher\] or \[inten"):
        model_folder.load(folder)


def test_a_miniature_of_its_conf_is_short_and_otherwise_the_same(
    tmp_path: Path, data: Path, acoustic: Path, teachers: dict[str, Path]
) -> None:
    before = learning(data, acoustic, teachers, batch=BatchSettings(examples=64))
    config.save(tmp_path / "conf.yaml", before)
    miniature_conf.main([str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "mini")])
    system, after = registry.load_settings(tmp_path / "mini" / "conf.yaml")
    assert system.name == "distill" and isinstance(after, DistillSettings)
    assert after.steps == miniature_conf.STEPS and after.batch.examples == miniature_conf.EXAMPLES
    assert (after.train, after.distill, after.init.model) == (
        before.train,
        before.distill,
        before.init.model,
    )
