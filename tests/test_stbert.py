"""ST-BERT: embeddings, masks, curriculum, cutting, both tasks through the engine, what is frozen.

The corpus is that of tone_commands: eight recordings of tones, a tone for a phone. The acoustic
model has random weights and a head that speaks clearly.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tone_commands import make_data
from torch import Tensor

from atat.apps.recognizer import Recognizer as AnyRecognizer
from atat.base import config
from atat.base.errors import InputError
from atat.datadir import ark, kaldi_dir
from atat.datadir.ctm import Word, read_phones, write_ctm
from atat.engine import (
    checkpoint,
    decode,
    model_folder,
    quantize,
    registry,
    run_folder,
    train,
)
from atat.engine.acoustic_start import acoustic_of
from atat.engine.settings import BatchSettings, InitSettings, SourceSettings, ValidSettings
from atat.engine.trainer import Trainer
from atat.nn.acoustic import PHONE_SAMPLES
from atat.nn.phoneme_posteriors import PhonemePosteriors
from atat.nn.speech_text_bert import Inputs, Marks, SpeechTextBert
from atat.scoring import score_command
from atat.speech import audio
from atat.systems.joint import miniature_conf
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.stbert import build, evaluate, masking, pieces
from atat.systems.stbert.classes import Classes
from atat.systems.stbert.curriculum import MLM, OBJECTIVES, TO_SPEECH, TO_TEXT, Curriculum
from atat.systems.stbert.data import Pairs
from atat.systems.stbert.masking import IGNORED
from atat.systems.stbert.posteriors import Posteriors
from atat.systems.stbert.recognizer import Recognizer
from atat.systems.stbert.settings import (
    INTENT,
    PRETRAIN,
    OptimSettings,
    ScratchSettings,
    StbertSettings,
)
from atat.text import bert_files, word_pieces
from atat.text.labels import Labels
from atat.text.phones import LABELS

PHONEMES = len(LABELS)
SMALL = ScratchSettings(width=32, layers=2, heads=2, pieces=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("stbert") / "data")


@pytest.fixture(scope="module")
def acoustic(data: Path) -> Path:
    torch.manual_seed(0)
    labels = Labels(words=("", "on"))
    model = Lugosch(labels)
    with torch.no_grad():
        head = model.acoustic.phonemes.head
        assert head is not None
        head.weight *= 600
    folder = data.parent / "acoustic"
    model_folder.save(folder, LugoschPacked(model, ("acoustic",), labels=labels))
    return folder


def settings(data: Path, task: str, **changes: Any) -> StbertSettings:
    source = SourceSettings(str(data), task)
    values: dict[str, Any] = {
        "system": "stbert",
        "train": (source,),
        "steps": 12,
        "scratch": SMALL,
        "valid": ValidSettings(sources=(source,), every=1000),
        "optim": OptimSettings(schedule="constant", peak=3e-3),
        "batch": BatchSettings(examples=8, block=1),
        "checkpoint_every": 4,
        "log_every": 20,
        "precision": "fp32",
        "workers": 0,
        "max_lost": 0.0,
    }
    return StbertSettings(**{**values, **changes})


def start(model: Path) -> InitSettings:
    return InitSettings(model=str(model))


def trained(conf: StbertSettings, folder: Path) -> Path:
    path = folder.with_suffix(".yaml")
    config.save(path, conf)
    train.main(["--config", str(path), "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def pretrained(data: Path, acoustic: Path) -> Path:
    """The run of a pretraining; the mean of its last checkpoints."""
    valid = ValidSettings(sources=(SourceSettings(str(data), PRETRAIN),), every=6, average=2)
    conf = settings(data, PRETRAIN, acoustic=str(acoustic), valid=valid)
    return trained(conf, data.parent / "pretrained")


@pytest.fixture(scope="module")
def finetuned(data: Path, pretrained: Path) -> Path:
    # To a rate of nothing at the end: the last step of a constant one is as good as chance has it.
    optim = OptimSettings(schedule="linear", peak=3e-3)
    conf = settings(data, INTENT, steps=120, optim=optim, init=start(pretrained / "model"))
    return trained(conf, data.parent / "finetuned")


def small_bert(masked: Any = None) -> tuple[SpeechTextBert, Any]:
    """A network without dropout in evaluation mode, and the BERT that it is made of."""
    torch.manual_seed(1)
    masked = masked or bert_files.scratch(16, 2, 2, 30)
    head, marks = masked.cls.predictions, Marks(0, 2, 3, 4)
    return SpeechTextBert(masked.bert, head, marks, PHONEMES).eval(), masked.eval()


def some_inputs(rng: np.random.Generator) -> Inputs:
    """Three sequences of different lengths, something of each hidden."""
    frames, sizes = [5, 9, 2], [4, 1, 6]
    posteriors = rng.dirichlet(np.ones(PHONEMES), (3, max(frames))).astype(np.float32)
    return Inputs(
        torch.from_numpy(posteriors),
        torch.tensor(frames),
        torch.from_numpy(rng.random((3, max(frames))) < 0.3),
        torch.from_numpy(rng.integers(5, 30, (3, max(sizes)))),
        torch.tensor(sizes),
    )


# --------------------------------------------------------------------------- the network


def test_a_one_hot_posterior_is_a_table_look_up() -> None:
    network, _ = small_bert()
    ids = torch.tensor([[3, 0, 41, 17]])
    one_hot = torch.nn.functional.one_hot(ids, PHONEMES).float()
    nothing = torch.zeros(1, 0, dtype=torch.long)
    inputs = Inputs(one_hot, torch.tensor([4]), ids < 0, nothing, torch.tensor([0]))
    embedded, *_ = network.embedded(inputs)
    assert torch.equal(embedded[0, 1:5], network.phonemes[ids[0]])


@pytest.mark.parametrize("positions", ["restart", "continue"])
def test_a_sequence_is_laid_out_as_in_the_paper_and_padding_changes_nothing(
    positions: Any,
) -> None:
    network, masked = small_bert()
    network.positions = positions
    inputs = some_inputs(np.random.default_rng(0))
    with torch.inference_mode():
        together = network(inputs)
        table = masked.bert.embeddings.word_embeddings.weight
        for row in range(3):
            n, u = int(inputs.frames[row]), int(inputs.sizes[row])
            speech = inputs.posteriors[row, :n] @ network.phonemes
            speech[inputs.hidden[row, :n]] = table[4]
            text = table[inputs.pieces[row, :u]]
            marks = table[2:3], table[3:4]
            embedded = torch.cat([marks[0], speech, marks[1], text, marks[1]])[None]
            first = 0 if positions == "restart" else n + 2
            alone = masked.bert(
                inputs_embeds=embedded,
                token_type_ids=torch.tensor([[0] * (n + 2) + [1] * (u + 1)]),
                position_ids=torch.tensor([[*range(n + 2), *range(first, first + u + 1)]]),
            ).last_hidden_state[0]
            torch.testing.assert_close(together.cls[row], alone[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                together.frames[row, :n], alone[1 : n + 1], atol=1e-5, rtol=1e-4
            )
            torch.testing.assert_close(
                together.pieces[row, :u], alone[n + 2 : -1], atol=1e-5, rtol=1e-4
            )


def test_masked_words_are_predicted_by_berts_own_head() -> None:
    network, masked = small_bert()
    states = torch.randn(7, 16)
    torch.testing.assert_close(network.piece_logits(states), masked.cls(states))


def test_a_trimmed_network_says_the_same_of_speech() -> None:
    network, _ = small_bert()
    inputs = some_inputs(np.random.default_rng(1))
    alone = inputs._replace(pieces=inputs.pieces[:, :0], sizes=torch.zeros(3, dtype=torch.long))
    with torch.inference_mode():
        before = network(alone).cls
        network.trim()
        assert torch.equal(network(alone).cls, before)
    assert network.bert.embeddings.word_embeddings.weight.shape == (4, 16)
    assert not any("head" in name or name == "bias" for name in network.state_dict())


# --------------------------------------------------------------------------- masks, curriculum


@pytest.mark.parametrize("seed", range(20))
def test_masked_frames_are_whole_phonemes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 40)
    aligned = np.where(rng.random(40) < 0.5, np.sort(rng.integers(0, 8, 40)), -1)
    phonemes = masking.spans(labels, aligned)
    masks = masking.drawn(phonemes, 9, 0.4, rng)
    for at in range(39):
        unaligned = aligned[at] == aligned[at + 1] == -1
        same = aligned[at] == aligned[at + 1] and (not unaligned or labels[at] == labels[at + 1])
        assert (phonemes[at] == phonemes[at + 1]) == same
        assert not same or masks.frames[at] == masks.frames[at + 1]
    for number in range(phonemes[-1] + 1):
        assert len(set(masks.frames[phonemes == number])) == 1


def test_a_share_of_phonemes_and_of_pieces_is_masked() -> None:
    rng = np.random.default_rng(0)
    phonemes = np.repeat(np.arange(3000), 2)
    masks = masking.drawn(phonemes, 3000, 0.15, rng)
    assert masks.frames.mean() == pytest.approx(0.15, abs=0.02)
    assert masks.pieces.mean() == pytest.approx(0.15, abs=0.02)


def test_the_curriculum_is_a_function_of_seed_and_step() -> None:
    plan = Curriculum(5, 3000, 1 / 3, OBJECTIVES)
    found = [plan.objective(step) for step in range(3000)]
    assert [plan.objective(step) for step in reversed(range(3000))] == found[::-1]
    assert set(found[:1000]) == {MLM}
    for objective in OBJECTIVES:
        assert found[1000:].count(objective) == pytest.approx(2000 / 3, abs=80)
    other = Curriculum(6, 3000, 1 / 3, OBJECTIVES)
    assert [other.objective(step) for step in range(3000)] != found
    assert {Curriculum(5, 9, 0.0, [MLM]).objective(step) for step in range(9)} == {MLM}


def pairs(data: Path, acoustic: Path, **changes: Any) -> Pairs:
    parts = build.build(settings(data, PRETRAIN, acoustic=str(acoustic), **changes))
    source = parts.train[0]
    assert isinstance(source, Pairs)
    return source


def test_what_is_hidden_is_not_in_the_batch(data: Path, acoustic: Path) -> None:
    source = pairs(data, acoustic)
    examples = [source.example(number) for number in range(len(source))]
    others = [
        replace(one, pieces=one.pieces + 1, posteriors=one.posteriors[::-1].copy())
        for one in examples
    ]
    to_text, to_speech = source.of(TO_TEXT), source.of(TO_SPEECH)
    batch = to_text.collate(examples)
    there = torch.arange(batch.pieces.shape[1]) < batch.sizes[:, None]
    assert (batch.pieces[there] == source.mask).all()
    assert not batch.hidden.any() and (batch.phoneme_targets == IGNORED).all()
    assert (batch.piece_targets[there] != IGNORED).all()
    another = to_text.collate(
        [replace(o, posteriors=e.posteriors) for o, e in zip(others, examples)]
    )
    assert torch.equal(another.pieces, batch.pieces)
    assert not torch.equal(another.piece_targets, batch.piece_targets)

    batch = to_speech.collate(examples)
    assert not batch.posteriors.any() and (batch.piece_targets == IGNORED).all()
    there = torch.arange(batch.hidden.shape[1]) < batch.frames[:, None]
    assert torch.equal(batch.hidden, there) and (batch.phoneme_targets[there] != IGNORED).all()
    assert not (batch.pieces == source.mask).any()


def test_partly_masked_batches_hide_what_they_ask_for(data: Path, acoustic: Path) -> None:
    source = pairs(data, acoustic, masked=0.5)
    examples = [source.example(number, np.random.default_rng(number)) for number in range(8)]
    batch = source.collate(examples)
    assert torch.equal(batch.hidden, batch.phoneme_targets != IGNORED) and batch.hidden.any()
    assert torch.equal(batch.pieces == source.mask, batch.piece_targets != IGNORED)
    assert not batch.posteriors[batch.hidden].any()
    assert 0 < batch.counts()["pieces"] < int(batch.sizes.sum())


def test_a_frames_target_is_its_aligned_phone_else_the_likeliest(
    data: Path, acoustic: Path, tmp_path: Path
) -> None:
    phones = read_phones(data / "phones.ctm")
    source = pairs(data, acoustic)
    for number in range(len(source)):
        one = source.example(number)
        of_phone: dict[float, set[bool]] = {}
        for frame, label in enumerate(one.phonemes):
            time = frame * PHONE_SAMPLES / 16000 + 1e-6
            said = [p for p in phones[one.utterance] if p.start <= time < p.end + 1e-5]
            assert LABELS[label] in [p.text for p in said]
            if len(said) == 1:  # else at the edge of two
                of_phone.setdefault(said[0].start, set()).add(bool(one.masks.frames[frame]))
        assert all(len(masked) == 1 for masked in of_phone.values())
    shutil.copytree(data, tmp_path / "bare")
    (tmp_path / "bare" / "phones.ctm").unlink()
    one = pairs(tmp_path / "bare", acoustic).example(0)
    assert np.array_equal(one.phonemes, one.posteriors.argmax(1))


def test_all_examples_of_a_step_have_the_objective_of_its_curriculum(
    data: Path, acoustic: Path
) -> None:
    source = pairs(data, acoustic, steps=30)
    curriculum = source.curriculum
    assert curriculum is not None
    found = [source.at(step).objective for step in range(30)]
    assert found == [curriculum.objective(step) for step in range(30)]
    assert set(found) == set(OBJECTIVES) and source.objective == MLM


# --------------------------------------------------------------------------- cutting


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_short_enough_and_hold_every_word_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, words = 0.0, []
    for number in range(30):
        time += rng.exponential(0.3)
        words.append(Word(str(number), time, rng.uniform(0.1, 0.6)))
        time = words[-1].end
    sizes = rng.integers(1, 4, 30).tolist()
    frames = round(25 * (time + 1))
    parts = pieces.at_words(words, sizes, frames, 25.0, 64)
    assert len(parts) > 3
    assert [n for p in parts for n in range(p.word_from, p.word_to)] == list(range(30))
    for part, after in zip(parts, [*parts[1:], None]):
        assert part.last - part.first + sum(sizes[part.word_from : part.word_to]) + 3 <= 64
        assert words[part.word_from].start >= part.first / 25 - 0.02
        assert words[part.word_to - 1].end <= part.last / 25 + 0.02
        assert after is None or part.last <= after.first
    assert pieces.at_words(words, sizes, frames, 25.0, 5) != parts


def test_speech_alone_has_one_mark_less_than_pairs(data: Path, acoustic: Path) -> None:
    conf = settings(data, INTENT, acoustic=str(acoustic))
    longest = -(-int(build.build(conf).train[0].lengths.max()) // 4)  # from frames of 10 ms
    assert len(build.build(replace(conf, max_length=longest + 2)).train[0]) == 8
    with pytest.raises(InputError, match=rf"\({longest} frames of 40 ms and 2 marks\)"):
        build.build(replace(conf, max_length=longest + 1))


def test_speech_alone_without_times_is_cut_evenly() -> None:
    parts = pieces.even(100, 42)  # [CLS] 40 frames [SEP]
    assert [(part.first, part.last) for part in parts] == [(0, 40), (40, 80), (80, 100)]


def test_long_utterances_are_cut_at_words(data: Path, acoustic: Path) -> None:
    whole, cut = pairs(data, acoustic), pairs(data, acoustic, max_length=13)
    assert len(whole) == 8 < len(cut)
    for number in range(len(cut)):
        one = cut.example(number)
        assert 0 < len(one.posteriors) and len(one.posteriors) + len(one.pieces) + 3 <= 13
    texts: dict[int, dict[str, list[int]]] = {}
    for source in (whole, cut):
        texts[id(source)] = {}
        for number in range(len(source)):
            one = source.example(number)
            texts[id(source)].setdefault(one.utterance, []).extend(one.pieces.tolist())
    assert texts[id(whole)] == texts[id(cut)]
    assert len({cut.key(number) for number in range(len(cut))}) == len(cut)


# --------------------------------------------------------------------------- posteriors


def test_posteriors_are_made_once_for_equal_recordings(
    data: Path, acoustic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    forward = PhonemePosteriors.forward

    def counted(self: Any, samples: Tensor, lengths: Tensor) -> Any:
        heard.append(len(samples))
        return forward(self, samples, lengths)

    monkeypatch.setattr(PhonemePosteriors, "forward", counted)
    phonemes = acoustic_of(acoustic).phonemes
    utterances = kaldi_dir.load(data)

    def places(folder: Path, source: Path = data) -> dict[str, str]:
        return Posteriors(PhonemePosteriors(phonemes), folder).of(str(source), utterances)

    first = places(tmp_path / "a")
    assert sum(heard) == 8
    for utterance in utterances:
        samples = torch.from_numpy(audio.load(str(utterance.wav)))[None]
        alone, _ = forward(PhonemePosteriors(phonemes), samples, torch.tensor([samples.shape[1]]))
        stored = ark.read(first[utterance.id])
        np.testing.assert_allclose(stored, alone[0].numpy(), atol=1e-4)
    assert places(tmp_path / "a") == first and sum(heard) == 8
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert sorted(places(tmp_path / "b")) == sorted(first) and sum(heard) == 8
    again = shutil.copytree(data, tmp_path / "copied")
    places(tmp_path / "b", Path(again))
    assert sum(heard) == 8
    changed = tmp_path / "changed.wav"
    audio.save(changed, np.zeros(16000, dtype=np.float32))
    (Path(again) / "wav.scp").write_text(
        (Path(again) / "wav.scp").read_text().replace(str(utterances[0].wav), str(changed))
    )
    places(tmp_path / "b", Path(again))
    assert sum(heard) == 9


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(
    data: Path, acoustic: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="posteriors"):
        build.build(
            settings(data, PRETRAIN, acoustic=str(acoustic), posteriors=str(tmp_path / "x"))
        )


def test_a_file_in_the_place_of_the_folder_is_named(
    data: Path, acoustic: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="name another folder by the key `posteriors`"):
        build.build(
            settings(data, PRETRAIN, acoustic=str(acoustic), posteriors=str(tmp_path / "x"))
        )


# --------------------------------------------------------------------------- through the engine


def figures(run: Path) -> list[dict[str, Any]]:
    found = json.loads((run / "train.json").read_text())["validations"]
    return [one["sources"][0] for one in found]


def test_what_other_steps_move_is_said(data: Path, tmp_path: Path) -> None:
    run = settings(data, PRETRAIN)
    config.save(tmp_path / "config.yaml", run)
    said = run_folder.settle_steps(tmp_path, replace(run, steps=20), done=4, width=8)
    assert said is not None and "20 instead of 12, which moves the end of" in said
    assert "(mlm_first); the schedule (constant)" in said
    alone = settings(data, PRETRAIN, mlm_first=0.0), settings(data, PRETRAIN, objectives=("mlm",))
    for one in (*alone, settings(data, INTENT)):
        assert not one.also_by_steps()


def test_eight_pairs_are_learned_by_heart(data: Path, acoustic: Path) -> None:
    torch.manual_seed(0)
    conf = settings(data, PRETRAIN, acoustic=str(acoustic), masked=0.3)
    parts = build.build(conf)
    model, source = parts.packed.model.eval(), parts.train[0]
    assert isinstance(source, Pairs)
    examples = [source.example(number) for number in range(8)]
    batches = [source.of(objective).collate(examples) for objective in OBJECTIVES]
    optimizer = torch.optim.Adam(parts.groups[0].parameters, lr=3e-3)

    def loss() -> Tensor:
        return sum(
            term.total / batch.counts()[name]
            for batch in batches
            for name, term in model.losses(batch).items()
            if term.weight
        )

    before = float(loss().detach())
    for _ in range(150):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss()) < 0.1 * before
    for batch in batches:
        for name, term in model.losses(batch).items():
            if name.endswith("accuracy"):
                assert float(term.total) == batch.counts()[term.of]


def test_a_pretraining_says_how_good_each_objective_is(pretrained: Path) -> None:
    first, last = figures(pretrained)
    names = {"phoneme_accuracy", "piece_accuracy", "text_from_speech", "speech_from_text"}
    assert names < first.keys() and last["loss"] < first["loss"]


def test_commands_are_learned_decoded_and_scored(data: Path, finetuned: Path) -> None:
    assert figures(finetuned)[-1]["exact_match"] == 1.0
    out = finetuned / "decoded"
    options = ["--model", str(finetuned / "model"), "--data", str(data), "--out", str(out)]
    decode.main([*options, "--task", INTENT])
    score_command.main(["--data", str(data), "--decoded", str(out)])
    found = json.loads((out / "score.json").read_text())["metrics"]
    assert found["em_full"]["value"] == 100.0


def test_only_intents_are_told_if_asked_for(data: Path, acoustic: Path) -> None:
    parts = build.build(settings(data, INTENT, acoustic=str(acoustic), classes="intents"))
    packed: Any = parts.packed
    assert packed.classes.names == ("[IN:OFF ]", "[IN:ON ]")
    assert packed.classes.of("[IN:OFF turn it [SL:OBJECT x ] ]") == 0
    assert packed.classes.of("[IN:LOUDER ]") == IGNORED
    commands = Classes.of_trees(["[IN:ON put on [SL:OBJECT the lamp ] ]", "[IN:ON ]"], "commands")
    assert commands.names == ("[IN:ON [SL:OBJECT the lamp ] ]", "[IN:ON ]")
    assert commands.of("[IN:ON [SL:OBJECT the lamp ] please ]") == 0


def test_a_class_that_training_has_not_is_wrong_and_no_part_of_the_mean_loss(
    renamed: Path, data: Path, acoustic: Path
) -> None:
    valid = ValidSettings((SourceSettings(str(renamed), INTENT),))
    parts = build.build(settings(data, INTENT, acoustic=str(acoustic), valid=valid))
    source, model = parts.valid[0], parts.packed.model.eval()
    batch = source.collate([source.example(number) for number in range(8)])
    assert batch.counts() == {"intent": 6.0, "commands": 8.0}
    with torch.no_grad():
        found = evaluate.figures(model, source, torch.device("cpu"), lambda text: None)
        total = float(model.losses(batch)["intent"].total)
    assert found["loss"] == pytest.approx(total / 6, rel=1e-4)
    assert found["exact_match"] in [number / 8 for number in range(7)]


def weights(run: Path) -> dict[str, Tensor]:
    state, _ = checkpoint.newest(run)
    assert state is not None
    found: dict[str, Tensor] = state["model"]
    return found


@pytest.mark.parametrize("task", [PRETRAIN, INTENT])
def test_resumed_is_uninterrupted(
    task: str, data: Path, acoustic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def interrupted(self: Trainer, number: int, batches: list[Any]) -> dict[str, float]:
        if number == 7:
            raise KeyboardInterrupt
        return step(self, number, batches)

    conf = settings(data, task, steps=10, acoustic=str(acoustic), mlm_first=0.2)
    straight = trained(conf, tmp_path / "straight")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(conf, tmp_path / "resumed")
    resumed = trained(conf, tmp_path / "resumed")
    one, other = weights(straight), weights(resumed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_the_acoustic_model_stays_as_it_is_to_the_bit(
    acoustic: Path, pretrained: Path, finetuned: Path
) -> None:
    before = acoustic_of(acoustic).phonemes.state_dict()
    for run in (pretrained, finetuned):  # the first is a mean of checkpoints
        packed: Any = model_folder.load(run / "model")
        listener = packed.model.train().listener
        assert not any(module.training for module in listener.modules())
        after = listener.phonemes.state_dict()
        assert after.keys() == before.keys()
        for name, value in before.items():
            assert torch.equal(value, after[name]), name


def test_all_of_bert_is_trained(pretrained: Path, finetuned: Path) -> None:
    begun, ended = (
        model_folder.load(run / "model").model.network.state_dict()
        for run in (pretrained, finetuned)
    )
    still = {name for name, value in ended.items() if torch.equal(value, begun[name])}
    # Rows of modalities and positions that finetuning does not meet stay with those that change.
    assert still <= {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}


def test_finetuning_does_not_depend_on_the_embeddings_of_text(
    data: Path, pretrained: Path, tmp_path: Path
) -> None:
    packed: Any = model_folder.load(pretrained / "model")
    network = packed.model.network
    marks = set(network.marks) - {network.marks.pad}
    table = network.bert.embeddings.word_embeddings.weight
    text = [number for number in range(len(table)) if number not in marks]
    with torch.no_grad():
        table[text] = torch.randn(len(text), table.shape[1])
    model_folder.save(tmp_path / "other", packed)
    runs = [
        trained(settings(data, INTENT, steps=3, init=start(model)), tmp_path / name)
        for name, model in (("a", pretrained / "model"), ("b", tmp_path / "other"))
    ]
    one, other = map(weights, runs)
    for name, value in one.items():
        if name == "network.bert.embeddings.word_embeddings.weight":
            value, other[name] = value[1:], other[name][1:]  # without [PAD], which nothing reads
        assert torch.equal(value, other[name]), name


def test_domain_adaptive_pretraining_goes_on_from_a_pretrained_model(
    data: Path, pretrained: Path, tmp_path: Path
) -> None:
    conf = settings(data, PRETRAIN, steps=2, init=start(pretrained / "model"), mlm_first=0.0)
    parts = build.build(conf)
    begun = model_folder.load(pretrained / "model").model.state_dict()
    for name, value in parts.packed.model.state_dict().items():
        assert torch.equal(value, begun[name]), name
    run = trained(conf, tmp_path / "dapt")
    assert model_folder.load(run / "model").tasks == (PRETRAIN,)


def test_speech_alone_is_pretrained_without_text(
    data: Path, acoustic: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(data, tmp_path / "bare"))
    (bare / "text").unlink()
    conf = settings(
        bare,
        PRETRAIN,
        acoustic=str(acoustic),
        text=False,
        objectives=(MLM,),
        steps=3,
        max_length=13,
    )
    run = trained(conf, tmp_path / "run")
    assert "text_from_speech" not in figures(run)[-1]
    finetuned = settings(data, INTENT, steps=2, init=start(run / "model"))
    trained(finetuned, tmp_path / "intent")


# --------------------------------------------------------------------------- packed


def test_a_packed_model_listens_alone_as_in_a_batch(data: Path, finetuned: Path) -> None:
    recognizer = Recognizer.load(finetuned / "model")
    utterances = list(kaldi_dir.load(data))
    recordings = [audio.load(str(one.wav)) for one in utterances]
    together = recognizer.answers(recordings, INTENT)
    for utterance, samples, answer in zip(utterances, recordings, together):
        alone = recognizer(samples)
        assert alone.text == answer.text == utterance.semantics
        assert alone.score == pytest.approx(answer.score, abs=1e-4) and alone.tree is not None


def test_the_recognizer_of_every_system_listens_to_it(data: Path, finetuned: Path) -> None:
    recognizer = AnyRecognizer.load(finetuned / "model")
    utterance = kaldi_dir.load(data)[1]
    found = recognizer(str(utterance.wav))
    assert found.text == utterance.semantics and found.tree is not None
    with pytest.raises(InputError, match="10.2 s at most"):
        recognizer(0.1 * np.random.default_rng(0).standard_normal(170000).astype(np.float32))


def test_a_finetuned_model_holds_no_text(finetuned: Path, pretrained: Path) -> None:
    assert not (finetuned / "model" / "bert" / "tokenizer.json").exists()
    assert (pretrained / "model" / "bert" / "tokenizer.json").exists()
    state = model_folder.load(finetuned / "model").model.state_dict()
    assert len(state["network.bert.embeddings.word_embeddings.weight"]) == 4


@pytest.mark.parametrize("which", ["pretrained", "finetuned"])
def test_a_packed_model_is_that_of_the_run(which: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(which)
    packed: Any = model_folder.load(run / "model")
    model_folder.save(run / "again", packed)
    again: Any = model_folder.load(run / "again")
    assert packed.identity() == again.identity()
    for name, value in packed.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_eight_bits_are_for_bert_and_not_for_the_acoustic_model(
    data: Path, finetuned: Path
) -> None:
    quantize.main(["--model", str(finetuned / "model"), "--out", str(finetuned / "int8")])
    exact, small = (Recognizer.load(finetuned / name) for name in ("model", "int8"))
    kinds = {name: value.dtype for name, value in small.packed.model.state_dict().items()}
    assert kinds["classifier.weight"] == torch.int8
    assert not any(k == torch.int8 for name, k in kinds.items() if name.startswith("listener."))
    samples = audio.load(str(next(iter(kaldi_dir.load(data))).wav))
    assert small(samples).text == exact(samples).text
    assert small(samples).score == pytest.approx(exact(samples).score, abs=0.1)
    with pytest.raises(InputError, match="8 bits"):
        build.build(settings(data, INTENT, init=start(finetuned / "int8")))


def test_a_damaged_folder_is_refused(finetuned: Path, tmp_path: Path) -> None:
    for file, text, message in (
        ("classes.json", '{"kind": 3}', "classes.json: expected kind and names"),
        ("config.yaml", None, "expected `tasks`"),
        ("config.yaml", "max_length: three", "`max_length`, none or from 4 on"),
    ):
        model = tmp_path / message / "model"
        shutil.copytree(finetuned / "model", model)
        (model / "SHA256SUMS").unlink()
        about = (model / "config.yaml").read_text()
        if text is None:
            text = about.replace("positions: restart", "positions: 3")
        elif file == "config.yaml":
            text = about.replace("max_length: 256", text)
        (model / file).write_text(text)
        with pytest.raises(InputError, match=message):
            model_folder.load(model)


# --------------------------------------------------------------------------- a BERT of others


def bert_folder(folder: Path, with_head: bool) -> Path:
    """A tiny BERT as transformers saves it."""
    from transformers import BertTokenizerFast  # type: ignore[attr-defined]

    words = [*word_pieces.SPECIALS, "on", "off", "lamp", "heat"]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(3)
    masked: Any = bert_files.scratch(24, 1, 2, len(words))
    (masked if with_head else masked.bert).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("with_head", [True, False])
def test_a_pretrained_bert_comes_with_its_head_or_a_new_one(
    data: Path, acoustic: Path, tmp_path: Path, with_head: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = bert_folder(tmp_path / "bert", with_head)
    torch.manual_seed(3)
    masked: Any = bert_files.scratch(24, 1, 2, 9)
    parts = build.build(settings(data, PRETRAIN, acoustic=str(acoustic), bert=str(folder)))
    packed: Any = parts.packed
    network = packed.model.network
    for name, value in masked.bert.state_dict().items():
        if "pooler" not in name:
            assert torch.equal(network.bert.state_dict()[name], value), name
    own = masked.cls.predictions.transform.dense.weight
    assert torch.equal(network.transform.dense.weight, own) == with_head
    assert ("without BERT's head" in caplog.text) != with_head
    assert packed.tokenizer.encode("on lamp", add_special_tokens=False).ids == [5, 7]


def test_another_kind_than_bert_is_refused(data: Path, acoustic: Path, tmp_path: Path) -> None:
    from transformers import AlbertConfig, AlbertModel

    folder = bert_folder(tmp_path / "bert", True)
    sizes: Any = dict(hidden_size=8, num_attention_heads=1, intermediate_size=8, embedding_size=8)
    AlbertModel(AlbertConfig(vocab_size=9, **sizes)).save_pretrained(folder)
    with pytest.raises(InputError, match="kind 'albert'; expected one of the kind 'bert'"):
        build.build(settings(data, PRETRAIN, acoustic=str(acoustic), bert=str(folder)))
    with pytest.raises(InputError, match="bert: cannot load .*`bert: null`"):
        build.build(settings(data, PRETRAIN, acoustic=str(acoustic), bert=str(tmp_path / "no")))


def test_word_pieces_from_scratch_spell_what_they_do_not_know() -> None:
    tokenizer = word_pieces.of_texts(["the lamp is on", "the lamp", "THE heat"], 40)
    encoded = tokenizer.encode("The lamp met Théo", add_special_tokens=False).tokens
    assert encoded == ["the", "lamp", "m", "##e", "##t", "the", "##o"]
    again = word_pieces.of_texts(["the heat", "the lamp", "lamp is on THE"], 40)
    assert again.to_str() == tokenizer.to_str()
    assert tokenizer.token_to_id("[MASK]") == 4


# --------------------------------------------------------------------------- bad input


def test_a_sequence_that_is_too_long_is_named_with_what_to_do(
    copied: Path, acoustic: Path, finetuned: Path
) -> None:
    (copied / "ctm").unlink()
    with pytest.raises(InputError, match="(?s)anna-.*a sequence of 1. .*max_length is 11.*ctm"):
        build.build(settings(copied, PRETRAIN, acoustic=str(acoustic), max_length=11))
    with pytest.raises(InputError, match="(?s)a sequence of 1. .*max_length is 11: raise it"):
        build.build(settings(copied, INTENT, acoustic=str(acoustic), max_length=11))
    with pytest.raises(InputError, match="max_length is 600, but this BERT knows 512 positions"):
        build.build(settings(copied, INTENT, acoustic=str(acoustic), max_length=600))
    recognizer = Recognizer.load(finetuned / "model")
    older: Any = Recognizer(replace(recognizer.packed, max_length=None))  # which BERT limits alone
    assert (recognizer.packed.max_length, "max_length" in older.packed.about()) == (256, False)
    for reader, most, seconds in ((recognizer, 254, "10.2"), (older, 510, "20.4")):
        reader(np.full(most * 640, 0.1, dtype=np.float32))
        with pytest.raises(InputError, match=f"s, {most + 1} frames.* {seconds} s at most: cut it"):
            reader.source(np.full(most * 640 + 1, 0.1, dtype=np.float32))


def test_a_word_that_alone_is_too_long_is_no_example(copied: Path, acoustic: Path) -> None:
    write_ctm(copied / "ctm", {"anna-2": [Word("on", 0.0, 0.3), Word("lamp", 0.3, 0.1)]})
    conf = settings(copied, PRETRAIN, acoustic=str(acoustic), max_length=9, max_lost=0.9)
    source = build.build(conf).train[0]
    assert isinstance(source, Pairs) and "a sequence of" in source.lost["anna-3"]
    ours = [part for utterance, part, _ in source.parts if utterance.id == "anna-2"]
    assert [(part.word_from, part.word_to) for part in ours] == [(1, 2)]


def test_a_corpus_without_text_is_named_with_what_to_do(copied: Path, acoustic: Path) -> None:
    (copied / "text").unlink()
    with pytest.raises(InputError, match="text: missing.*atat transcribe.*text: false"):
        build.build(settings(copied, PRETRAIN, acoustic=str(acoustic)))


def test_recordings_without_trees_are_lost_and_counted(copied: Path, acoustic: Path) -> None:
    path = copied / "semantics"
    path.write_text(path.read_text().replace("[IN:OFF ]", "[SL:OFF x ]", 1))
    with pytest.raises(
        InputError, match="(?s)1 of 8 utterances cannot be used.*expected an intent"
    ):
        build.build(settings(copied, INTENT, acoustic=str(acoustic)))
    path.unlink()
    with pytest.raises(InputError, match="semantics: missing or empty, but task intent needs it"):
        build.build(settings(copied, INTENT, acoustic=str(acoustic)))


def test_a_start_that_does_not_fit_is_refused(
    data: Path, acoustic: Path, pretrained: Path, finetuned: Path
) -> None:
    with pytest.raises(InputError, match="key `acoustic` is missing"):
        build.build(settings(data, PRETRAIN))
    init = start(pretrained / "model")
    with pytest.raises(InputError, match="acoustic is .* has its own; leave it out"):
        build.build(settings(data, INTENT, init=init, acoustic=str(acoustic)))
    with pytest.raises(InputError, match="no longer knows any text"):
        build.build(settings(data, PRETRAIN, init=start(finetuned / "model")))
    with pytest.raises(InputError, match="was trained with restart"):
        build.build(settings(data, INTENT, init=init, positions="continue"))
    with pytest.raises(InputError, match="has no answer to decode; finetune it on intent"):
        Recognizer.load(pretrained / "model").check_task(PRETRAIN)
    with pytest.raises(
        InputError, match="a model of the system `lugosch`; expected one of `stbert`"
    ):
        Recognizer.load(acoustic)


def test_settings_that_do_not_fit_are_refused(data: Path) -> None:
    one = settings(data, PRETRAIN)
    with pytest.raises(InputError, match="tasks intent and pretrain; a run has one"):
        replace(one, train=(SourceSettings(str(data), INTENT),))
    with pytest.raises(InputError, match="text is false: without text there is nothing to predict"):
        replace(one, text=False)
    with pytest.raises(InputError, match="expected some of mlm, speech_to_text, text_to_speech"):
        replace(one, objectives=("clm",))
    with pytest.raises(InputError, match="objectives and text are of the task pretrain; remove"):
        settings(data, INTENT, objectives=("mlm",))
    with pytest.raises(InputError, match="masked is 15.0; expected a share"):
        replace(one, masked=15.0)
    with pytest.raises(InputError, match="exact_match is for the task intent"):
        replace(one, valid=replace(one.valid, select="exact_match"))


def test_a_miniature_of_its_conf_is_short_and_otherwise_the_same(
    tmp_path: Path, data: Path
) -> None:
    before = settings(data, PRETRAIN, masked=0.2)
    config.save(tmp_path / "conf.yaml", before)
    miniature_conf.main([str(tmp_path / "conf.yaml"), "--out", str(tmp_path / "mini")])
    system, after = registry.load_settings(tmp_path / "mini" / "conf.yaml")
    assert system.name == "stbert" and isinstance(after, StbertSettings)
    assert after.steps == miniature_conf.STEPS
    assert (after.train, after.masked, after.scratch) == (before.train, 0.2, SMALL)
