"""Lugosch et al. 2019: labels, frames, both tasks through the engine, and what stays frozen.

The corpus is that of `tone_commands`.
"""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tone_commands
import torch
from tone_commands import interrupted, trained

import atat
from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.ctm import Word, read_phones
from atat.datadir.frame_labels import frame_labels
from atat.engine import checkpoint, decode, model_folder, pack, quantize, registry
from atat.engine.acoustic_start import acoustic_of
from atat.engine.plain_evaluate import evaluate
from atat.engine.settings import (
    InitSettings,
    SourceSettings,
    ValidSettings,
)
from atat.nn.acoustic import PHONE_SAMPLES, WORD_SAMPLES
from atat.scoring import score_command
from atat.speech import audio
from atat.speech.settings import AugmentSettings
from atat.systems.joint import miniature_conf
from atat.systems.lugosch import build, frame_accuracy, frames_command
from atat.systems.lugosch.batch import Example
from atat.systems.lugosch.data import AlignedRecordings, part
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.recognizer import Recognizer
from atat.systems.lugosch.settings import (
    ACOUSTIC,
    INTENT,
    CropSettings,
    LugoschSettings,
)
from atat.text import trees
from atat.text.labels import UNKNOWN, Labels, command_of, fields_of, words_of
from atat.text.phones import IDS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone_commands.make_data(tmp_path_factory.mktemp("lugosch") / "data")


def settings(data: Path, task: str, **changes: Any) -> LugoschSettings:
    values: dict[str, Any] = {"system": "lugosch", "crop": CropSettings(mean=10.0)}
    return LugoschSettings(**{**tone_commands.run(data, task), **values, **changes})


@pytest.fixture(scope="module")
def acoustic(data: Path) -> Path:
    """The run of a pretraining; with half of the states dropped it would take far longer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atat.nn.acoustic.DROPOUT", 0.0)
        return trained(settings(data, ACOUSTIC, steps=55), data.parent / "acoustic")


@pytest.fixture(scope="module")
def intent(data: Path, acoustic: Path) -> Path:
    """The run of intents, all layers unfrozen one after the other."""
    init = InitSettings(model=str(acoustic / "model"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atat.nn.acoustic.DROPOUT", 0.0)
        conf = settings(data, INTENT, steps=30, init=init, unfreeze="all")
        return trained(conf, data.parent / "intent")


# --------------------------------------------------------------------------- labels


def test_a_command_is_written_as_the_tree_it_came_from() -> None:
    said = [
        "[IN:ON turn on [SL:OBJECT heat ] in the [SL:PLACE living room ] ]",
        "[IN:OFF [SL:OBJECT heat ] off ]",
        "[IN:ON ]",
    ]
    labels = Labels(fields=fields_of(said))
    assert labels.fields == {
        "IN": ("OFF", "ON"),
        "OBJECT": ("", "heat"),
        "PLACE": ("", "living room"),
    }
    assert labels.sizes == (2, 2, 2)
    assert [labels.tree(labels.classes(one)) for one in said] == [
        "[IN:ON [SL:OBJECT heat ] [SL:PLACE living room ] ]",
        "[IN:OFF [SL:OBJECT heat ] ]",
        "[IN:ON ]",
    ]


def test_what_the_outputs_cannot_say_is_unknown() -> None:
    labels = Labels(fields=fields_of(["[IN:ON [SL:OBJECT heat ] ]", "[IN:OFF [SL:OBJECT lamp ] ]"]))
    assert labels.fields["OBJECT"] == ("heat", "lamp")  # always there, so it is never absent
    assert labels.classes("[IN:ON [SL:OBJECT tea ] ]") == [1, UNKNOWN]
    assert labels.classes("[IN:OFF ]") == [0, UNKNOWN]
    for other in ("[IN:ON [SL:OBJECT tea ] ]", "[IN:ON [SL:OBJECT heat ] [SL:NEW heat ] ]"):
        assert not labels.is_known(other)
    assert labels.is_known("[IN:ON [SL:OBJECT lamp ] please ]")


def test_a_command_of_another_order_cannot_be_said_as_it_is() -> None:
    """Its classes are known, but its slots come out in their own order, which the score sees."""
    usual, other = (
        f"[IN:ON {one} {two} ]"
        for one, two in itertools.permutations(["[SL:COLOR red ]", "[SL:ROOM hall ]"])
    )
    labels = Labels(fields=fields_of([usual, usual, other]))
    assert labels.is_known(usual) and labels.is_known(other)
    assert labels.can_say(usual.replace("]", "] please", 1)) and not labels.can_say(other)


@pytest.mark.parametrize(
    "tree, message",
    [
        ("[IN:ON [SL:A [IN:OFF ] ] ]", "flat trees"),
        ("[IN:ON [SL:A x ] [SL:A y ] ]", "two slots SL:A"),
        ("[IN:ON [SL:A ] ]", "SL:A is empty"),
        ("[IN:ON [SL:IN x ] ]", "SL:IN: the intent has this name"),
        ("[SL:A x ]", "expected an intent"),
    ],
)
def test_a_tree_that_is_no_flat_command_is_refused(tree: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        command_of(tree)


def test_words_are_the_most_frequent_after_the_empty_one() -> None:
    assert words_of("b a b c a b d".split(), 4) == ("", "b", "a", "c")


def test_the_fields_of_fluentspeech_are_6_14_and_4() -> None:
    actions = [f"[IN:A{n} ]" for n in range(6)]
    objects = [f"[IN:A0 [SL:OBJECT o{n} ] ]" for n in range(13)]
    places = [f"[IN:A0 [SL:OBJECT o0 ] [SL:LOCATION l{n} ] ]" for n in range(3)]
    assert Labels(fields=fields_of([*actions, *objects, *places])).sizes == (6, 14, 4)


# --------------------------------------------------------------------------- frames


@pytest.mark.parametrize("seed", range(20))
def test_the_label_of_a_frame_is_that_at_its_first_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.choice(4000, 12, replace=False))
    aligned = [
        Word(str(rng.integers(5)), a / 16000, (b - a) / 16000)
        for a, b in zip(edges, edges[1:])
        if rng.random() < 0.7
    ]
    ids, first, samples = {"0": 10, "1": 11, "2": 12}, int(rng.integers(500)), 3000
    slow = []
    for at in range(first, first + samples, 64):
        label = 7
        for one in aligned:
            if round(one.start * 16000) <= at < round(one.end * 16000):
                label = ids.get(one.text, 8)
        slow.append(label)
    found = frame_labels(aligned, ids, first=first, samples=samples, shift=64, outside=7, unknown=8)
    assert found.tolist() == slow and {7, 8} & set(slow)


def test_targets_are_those_of_phones_ctm_in_whole_and_cut_recordings(data: Path) -> None:
    crop = CropSettings(mean=0.3, deviation=0.2, shortest=0.1)
    source = AlignedRecordings(SourceSettings(str(data), ACOUSTIC), crop=crop)
    source.labels = Labels(words=words_of(source.spoken(), 4))
    phones = read_phones(data / "phones.ctm")
    names = {number: name for name, number in IDS.items()}
    whole = {source.key(n): source.example(n) for n in range(len(source))}
    unknown = empty = 0
    for number in range(len(source)):
        for rng in (None, np.random.default_rng(number)):
            one = source.example(number, rng)
            of = whole[source.key(number)].samples
            first = next(
                at
                for at in range(len(of))
                if np.array_equal(of[at : at + len(one.samples)], one.samples)
            )
            assert len(one.phones) == -(-len(one.samples) // PHONE_SAMPLES)
            assert len(one.words) == -(-len(one.samples) // WORD_SAMPLES)
            for frame, label in enumerate(one.phones):
                time = (first + frame * PHONE_SAMPLES) / 16000 + 1e-6
                there = [p.text for p in phones[one.utterance] if p.start <= time < p.end + 1e-5]
                assert names[label] in there
            unknown += int((one.words == UNKNOWN).sum())
            empty += int((one.words == 0).sum())
    assert unknown and empty  # one of four words is not known, and there is silence


def test_parts_are_as_long_as_asked_and_lie_inside() -> None:
    rng, crop = np.random.default_rng(0), CropSettings()
    found = [part(160_000, crop, rng) for _ in range(4000)]
    sizes = np.array([size for _, size in found]) / 16000
    assert sizes.min() == 0.5 and abs(np.median(sizes) - 2.25) < 0.1
    assert abs(np.percentile(sizes, 84) - 3.25) < 0.1
    assert all(0 <= first and first + size <= 160_000 for first, size in found)
    assert max(first + size for first, size in found) > 155_000
    assert part(4000, crop, rng) == (0, 4000)


def test_noise_changes_what_is_heard_in_training_and_nothing_else(data: Path) -> None:
    source, labels = SourceSettings(str(data), ACOUSTIC), Labels(words=words_of(["on", "off"], 3))
    noise = AugmentSettings(white_noise=True, noise_probability=1.0, reverb_probability=1.0)
    clean, noisy = (
        AlignedRecordings(
            source, crop=CropSettings(mean=0.3, deviation=0.1, shortest=0.1), augment=one
        )
        for one in (None, noise)
    )
    clean.labels = noisy.labels = labels
    for number in range(len(clean)):
        one, other = (data.example(number, np.random.default_rng(7)) for data in (clean, noisy))
        assert len(one.samples) == len(other.samples) and other.samples.dtype == np.float32
        assert not np.allclose(one.samples, other.samples, atol=1e-3)
        assert (one.phones == other.phones).all() and (one.words == other.words).all()
        again = noisy.example(number, np.random.default_rng(7))
        assert (again.samples == other.samples).all()
        # Validation hears recordings as they are.
        assert (clean.example(number).samples == noisy.example(number).samples).all()


# --------------------------------------------------------------------------- through the engine


def figures(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "train.json").read_text())["validations"][-1][
        "sources"
    ][0]
    return found


def test_eight_recordings_are_learned_by_heart(data: Path, acoustic: Path, intent: Path) -> None:
    heard, understood = figures(acoustic), figures(intent)
    assert heard["phone_accuracy"] > 0.9 and heard["word_accuracy"] > 0.9
    assert understood["exact_match"] == 1.0


def test_both_tasks_are_decoded_and_scored(data: Path, acoustic: Path, intent: Path) -> None:
    for run, task, metric, best in (
        (intent, INTENT, "em_full", 100.0),
        (acoustic, ACOUSTIC, "wer", 0.0),
    ):
        out = run / "decoded"
        options = ["--model", str(run / "model"), "--data", str(data), "--out", str(out)]
        decode.main([*options, "--task", task])
        score_command.main(["--data", str(data), "--decoded", str(out)])
        found = json.loads((out / "score.json").read_text())["metrics"][metric]["value"]
        assert found == pytest.approx(best, abs=1)


def measured(model: Path, data: Path, out: Path) -> dict[str, Any]:
    frames_command.main(["--model", str(model), "--data", str(data), "--out", str(out)])
    found: dict[str, Any] = json.loads((out / "score.json").read_text())["metrics"]
    return found


def test_frames_are_counted_as_validation_does(data: Path, acoustic: Path) -> None:
    found = measured(acoustic / "model", data, acoustic / "frames")
    validated = figures(acoustic)
    for name, metric in (("phone", "phone_acc"), ("word", "word_acc")):
        assert found[metric]["value"] == pytest.approx(100 * validated[f"{name}_accuracy"])
    # One sil or tone every 40 ms, two words or one every 160 ms; nothing is unknown here.
    lengths = {u.id: round(16000 * (u.duration or 0)) for u in kaldi_dir.load(data)}
    frames = sum(-(-length // PHONE_SAMPLES) for length in lengths.values())
    assert found["phone_acc"]["denominator"] == frames
    assert found["word_acc_all"]["denominator"] == found["word_acc"]["denominator"]
    assert 0 < found["phone_acc_speech"]["denominator"] < frames
    score_command.main(["--data", str(data), "--decoded", str(acoustic / "frames")])
    assert "wer" in json.loads((acoustic / "frames" / "score.json").read_text())["metrics"]


def test_frames_of_unknown_words_are_wrong_in_one_measure_and_left_out_of_the_other(
    copied: Path, acoustic: Path, tmp_path: Path
) -> None:
    before = measured(acoustic / "model", copied, tmp_path / "before")
    for name in ("ctm", "text"):
        (copied / name).write_text((copied / name).read_text().replace("lamp", "tea"))
    after = measured(acoustic / "model", copied, tmp_path / "after")
    assert after["phone_acc"] == before["phone_acc"]
    missing = before["word_acc"]["denominator"] - after["word_acc"]["denominator"]
    assert missing > 0
    assert after["word_acc_all"]["denominator"] == before["word_acc_all"]["denominator"]
    assert after["word_acc_all"]["numerator"] == after["word_acc"]["numerator"]


def test_counts_of_frames() -> None:
    sil, aa = IDS["sil"], IDS["AA"]
    one = Example(
        "a",
        np.zeros(8 * PHONE_SAMPLES, np.float32),
        np.array([sil, sil, aa, aa, aa, UNKNOWN, sil, aa]),
        np.array([UNKNOWN, 2]),
    )
    heard = np.array([sil, aa, aa, aa, sil, aa, sil, aa]), np.array([1, 2])
    assert frame_accuracy.counts(one, *heard, timed=True) == {
        "phone_acc": (5, 7),
        "phone_acc_speech": (3, 4),
        "word_acc": (1, 1),
        "word_acc_all": (1, 2),
    }
    assert frame_accuracy.counts(one, *heard, timed=False)["word_acc_all"] == (0, 0)


def test_frames_are_not_asked_of_a_model_of_intents(
    data: Path, intent: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="tells no phones and words; give one"):
        measured(intent / "model", data, tmp_path / "frames")


def test_resumed_is_uninterrupted(data: Path, acoustic: Path) -> None:
    init = InitSettings(model=str(acoustic / "model"))
    conf = settings(data, INTENT, steps=11, checkpoint_every=4, init=init, unfreeze="all")
    straight = trained(conf, data.parent / "straight")
    resumed = interrupted(conf, data.parent / "resumed", 7)
    one, other = (checkpoint.newest(run)[0] for run in (straight, resumed))
    assert one is not None and other is not None
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name


@pytest.mark.parametrize(
    "unfreeze, steps, training",
    [
        ("none", 3, []),
        ("word", 1, []),
        ("word", 2, ["words.layers.1."]),
        ("word", 4, ["words.layers.1.", "words.layers.0."]),
        ("all", 4, ["words.layers.1.", "words.layers.0.", "phonemes.layers.1."]),
        ("all", 8, ["words.layers.", "phonemes."]),
    ],
)  # an epoch is a step, of eight recordings
def test_frozen_layers_stay_as_they_are_to_the_bit(
    data: Path, acoustic: Path, unfreeze: Any, steps: int, training: list[str], tmp_path: Path
) -> None:
    conf = settings(
        data,
        INTENT,
        init=InitSettings(model=str(acoustic / "model")),
        unfreeze=unfreeze,
        steps=steps,
        valid=ValidSettings(),
    )
    run = trained(conf, tmp_path / "run")
    before = model_folder.load(acoustic / "model").model.state_dict()
    after = model_folder.load(run / "model").model.state_dict()
    assert not any("head" in name for name in after if name.startswith("acoustic."))
    for name, value in after.items():
        if name.startswith("acoustic."):
            moved = name.removeprefix("acoustic.").startswith(tuple(training))
            assert torch.equal(value, before[name]) != moved, name


def test_without_a_start_everything_trains(data: Path, tmp_path: Path) -> None:
    parts = build.build(settings(data, INTENT))
    (group,) = parts.groups
    assert len(group.parameters) == len(list(parts.packed.model.parameters()))


# --------------------------------------------------------------------------- packed


def test_a_packed_model_listens(data: Path, intent: Path) -> None:
    recognizer = Recognizer.load(intent / "model")
    utterances = list(kaldi_dir.load(data))
    recordings = [audio.load(str(one.wav)) for one in utterances]
    together = recognizer.answers(recordings, INTENT)
    for utterance, samples, answer in zip(utterances, recordings, together):
        alone = recognizer(samples)
        assert alone.text == answer.text == utterance.semantics
        assert alone.score == pytest.approx(answer.score, abs=1e-4) and alone.tree is not None
    assert recognizer(str(utterances[0].wav)).text == together[0].text
    with pytest.raises(InputError, match="task acoustic: this model was trained on intent"):
        recognizer.answers(recordings, ACOUSTIC)


def test_programs_use_it_as_any_other_model(data: Path, acoustic: Path, intent: Path) -> None:
    recognizer = atat.Recognizer.load(intent / "model")
    utterances = list(kaldi_dir.load(data))
    for one, found in zip(utterances, recognizer.batch([str(one.wav) for one in utterances])):
        assert found.text == one.semantics and found.understood and found.transcript is None
        assert list(found.slots.values()) == trees.words(found.tree)
    assert atat.Recognizer.load(acoustic / "model")(str(utterances[0].wav)).transcript is not None
    with pytest.raises(InputError, match="reads no text; its tasks: intent"):
        recognizer(text="lights")


def test_a_model_is_packed_again_and_made_smaller(data: Path, intent: Path) -> None:
    pack.main([str(intent), "--average", "2", "--out", str(intent / "mean")])
    quantize.main(["--model", str(intent / "model"), "--out", str(intent / "int8")])
    exact, small = (Recognizer.load(intent / name) for name in ("model", "int8"))
    assert small.packed.weights == "int8"
    samples = audio.load(str(next(iter(kaldi_dir.load(data))).wav))
    assert small(samples).text == exact(samples).text
    assert small(samples).score == pytest.approx(exact(samples).score, abs=0.1)
    with pytest.raises(InputError, match="8 bits"):
        build.build(settings(data, INTENT, init=InitSettings(model=str(intent / "int8"))))


def test_another_system_can_have_the_acoustic_model(acoustic: Path, intent: Path) -> None:
    state = model_folder.load(acoustic / "model").model.state_dict()
    found = acoustic_of(acoustic / "model")
    for name, value in found.state_dict().items():
        assert torch.equal(value, state[f"acoustic.{name}"]), name
    assert found.phonemes.head is not None and acoustic_of(intent / "model").phonemes.head is None
    quantize.main(["--model", str(acoustic / "model"), "--out", str(acoustic / "int8")])
    with pytest.raises(InputError, match="8 bits"):
        acoustic_of(acoustic / "int8")


def test_a_damaged_folder_is_refused(acoustic: Path, tmp_path: Path) -> None:
    shutil.copytree(acoustic / "model", tmp_path / "model")
    (tmp_path / "model" / "SHA256SUMS").unlink()
    (tmp_path / "model" / "labels.json").write_text('{"words": 3}')
    with pytest.raises(InputError, match="labels.json: expected words and fields"):
        model_folder.load(tmp_path / "model")


# --------------------------------------------------------------------------- bad input


def test_settings_that_do_not_fit_are_refused(data: Path) -> None:
    one = settings(data, INTENT)
    with pytest.raises(InputError, match="tasks acoustic and intent; a run has one"):
        replace(one, train=(SourceSettings(str(data), ACOUSTIC),))
    with pytest.raises(InputError, match="unfreeze is all, but nothing is frozen"):
        build.build(replace(one, unfreeze="all"))
    with pytest.raises(InputError, match="task `slu` is unknown; known tasks: acoustic, intent"):
        replace(one, train=(SourceSettings(str(data), "slu"),))
    with pytest.raises(InputError, match="augment: speeds and masks of features are not for this"):
        replace(one, augment=AugmentSettings(speeds=(0.9, 1.1)))
    replace(one, valid=ValidSettings(select="exact_match", decode=0))  # no search, nothing to limit


@pytest.mark.parametrize("name", ["ctm", "phones.ctm"])
def test_missing_alignments_say_how_to_make_them(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing.*atat align --phones"):
        build.build(settings(copied, ACOUSTIC))


def test_a_phone_outside_the_set_is_named(copied: Path) -> None:
    path = copied / "phones.ctm"
    path.write_text(path.read_text().replace(" AA\n", " QQ\n", 1))
    with pytest.raises(InputError, match="phones.ctm: anna-0: the phone 'QQ' is none of the 39"):
        build.build(settings(copied, ACOUSTIC))


@pytest.mark.parametrize("name", ["ctm", "phones.ctm"])
@pytest.mark.parametrize(
    ("how", "message"),
    [("reversed", "its alignment is at fault"), ("stretched", "(word|phone) ends at .* lasts")],
)
def test_alignments_that_cannot_be_are_lost_and_counted(
    copied: Path, name: str, how: str, message: str
) -> None:
    """Of which frames would have the labels of others."""
    path = copied / name
    lines = path.read_text().splitlines()
    if how == "reversed":
        lines.reverse()
    else:
        rows = [line.split() for line in lines]
        lines = [f"{u} {c} {9 * float(s)} {9 * float(d)} {w}" for u, c, s, d, w in rows]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=f"(?s)[68] of 8 utterances cannot be used.*{message}"):
        build.build(settings(copied, ACOUSTIC))
    if how == "stretched":
        with pytest.raises(InputError, match="no utterance can be used"):
            build.build(settings(copied, ACOUSTIC, max_lost=1.0))


def test_trees_of_another_kind_are_lost_and_counted(copied: Path) -> None:
    path = copied / "semantics"
    path.write_text(path.read_text().replace("[SL:OBJECT lamp ]", "[SL:O a ] [SL:O b ]", 1))
    with pytest.raises(InputError, match="(?s)1 of 8 utterances cannot be used.*two slots SL:O"):
        build.build(settings(copied, INTENT))
    parts = build.build(settings(copied, INTENT, max_lost=0.2))
    assert len(parts.train[0]) == 7


def test_a_start_of_another_kind_is_refused(data: Path, intent: Path) -> None:
    with pytest.raises(InputError, match="a model of intents, without what tells phones"):
        build.build(settings(data, ACOUSTIC, init=InitSettings(model=str(intent / "model"))))


def test_what_validation_has_and_training_has_not_is_wrong(renamed: Path, data: Path) -> None:
    parts = build.build(
        settings(data, INTENT, valid=ValidSettings((SourceSettings(str(renamed), INTENT),)))
    )
    source = parts.valid[0]
    assert source.labels.fields == {"IN": ("OFF", "ON"), "OBJECT": ("", "heat", "lamp")}
    batch = source.collate([source.example(n) for n in range(len(source))])
    assert (batch.classes == UNKNOWN).sum() == 2 and (~batch.known).sum() == 2
    model: Lugosch = parts.packed.model
    with torch.no_grad():  # it says "on lamp", two of the eight, of every recording
        model.intent.head.weight.zero_()
        model.intent.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0]))
    terms = model.eval().losses(batch)
    assert torch.isfinite(terms["intent"].total) and terms["exact_match"].total == 2
    # The mean loss is over what has one: all but 2 of the 16 values.
    assert batch.counts() == {"intent": 7.0, "commands": 8.0}
    with torch.no_grad():
        figures = evaluate(model, source, torch.device("cpu"), lambda text: None, 20000)
    assert figures["loss"] == pytest.approx(terms["intent"].total.item() / 7, rel=1e-4)
    assert figures["exact_match"] == 2 / 8


def test_a_miniature_of_its_conf_is_short_and_otherwise_the_same(
    tmp_path: Path, data: Path
) -> None:
    before = settings(data, INTENT, unfreeze="all")
    config.save(tmp_path / "conf.yaml", before)
    miniature_conf.main([str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "mini")])
    system, after = registry.load_settings(tmp_path / "mini" / "conf.yaml")
    assert system.name == "lugosch" and isinstance(after, LugoschSettings)
    assert after.steps == miniature_conf.STEPS and after.batch.examples == miniature_conf.EXAMPLES
    assert (after.train, after.unfreeze, after.words) == (before.train, "all", before.words)
