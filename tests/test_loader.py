"""What training and validation read: the same whoever prepares it, and however often."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.datadir import ark, kaldi_dir, tables
from atat.engine import validate
from atat.engine.batching import target_cost
from atat.engine.contract import Term
from atat.engine.loader import StepBatches, in_order, step_loader
from atat.engine.sampler import Sampler
from atat.engine.settings import BatchSettings, SourceSettings
from atat.speech import audio
from atat.speech.augmenter import Augmenter
from atat.speech.fbank import LOG_FLOOR
from atat.speech.settings import AugmentSettings
from atat.systems.joint.batch import Batch
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.systems.joint.system import system
from atat.text import trees
from atat.text.ctc_labels import build_units
from atat.text.encoder_ids import PieceIds

SETTINGS = BatchSettings(examples=12, block=3, max_frames=300)
TASKS = ("slu", "mlm", "asr")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[TaskData]:
    """A mix in which masking and augmentation are drawn."""
    folder = tiny.make_data(tmp_path_factory.mktemp("corpus") / "train", 30)
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    augmenter = Augmenter(AugmentSettings(time_masks=2, freq_masks=1))
    return [TaskData(SourceSettings(str(folder), task), encoding, augmenter) for task in TASKS]


def step_batches(data: list[TaskData], rank: int = 0, ranks: int = 1) -> StepBatches:
    sampler = Sampler(
        [d.lengths for d in data],
        [1.0] * len(data),
        [d.budget for d in data],
        SETTINGS,
        seed=1,
        ranks=ranks,
    )
    return StepBatches(data, sampler, seed=1, rank=rank)


def sources(batches: StepBatches, step: int) -> dict[tuple[str, str], np.ndarray]:
    """What a step reads of each task and utterance."""
    return {
        (task, utterance): source[:length].numpy()
        for batch in batches[step]
        for task, utterance, source, length in zip(
            batch.tasks, batch.utterances, batch.source, batch.source_lengths.tolist()
        )
    }


def test_ranks_read_what_one_alone_would(data: list[TaskData]) -> None:
    alone = step_batches(data)
    shared = [step_batches(data, rank, ranks=2) for rank in range(2)]
    for step in range(4):
        parts = [sources(batches, step) for batches in shared]
        assert parts[0].keys().isdisjoint(parts[1]) and all(parts)
        found, wanted = {**parts[0], **parts[1]}, sources(alone, step)
        assert found.keys() == wanted.keys()
        for key, source in wanted.items():
            np.testing.assert_array_equal(found[key], source, err_msg=str(key))


def test_masks_of_validation_are_the_same_each_time(data: list[TaskData]) -> None:
    _, masked, plain = data
    hidden = 0
    for number in range(len(masked)):
        first, again = masked.example(number), masked.example(number)
        np.testing.assert_array_equal(first.source, again.source)
        silent = (first.source == np.float32(LOG_FLOOR)).all(axis=1)
        heard = plain.example(number).source
        np.testing.assert_array_equal(first.source[~silent], heard[~silent])
        hidden += silent.sum()
        assert 0 < silent.sum() < len(silent)
    # Of each four words one: as in training, not the same one everywhere.
    assert 0.15 < hidden / masked.lengths.sum() < 0.4


def test_validation_of_mlm_reads_masked_audio(data: list[TaskData]) -> None:
    _, masked, _ = data
    model = mock.Mock()
    model.losses.return_value = {name: Term(torch.tensor(1.0)) for name in ("ce", "accuracy")}
    validate.validate(system, model, [masked], torch.device("cpu"), decode=0)
    read = [call.args[0] for call in model.losses.call_args_list]
    assert sum(len(batch.utterances) for batch in read) == len(masked)
    for batch in read:
        for source, length in zip(batch.source, batch.source_lengths.tolist()):
            assert (source[:length] == LOG_FLOOR).all(1).any()


def sentences(folder: Path, texts: list[str]) -> Path:
    """Texts, which are few words of the vocabulary or none, as a data dir of task nlu."""
    kaldi_dir.write(
        folder,
        [
            kaldi_dir.Utterance(
                f"s-{number:03d}",
                "s",
                text=text,
                semantics=f"[IN:PLAY {trees.escape(text)} [SL:THING red ] ]",
            )
            for number, text in enumerate(texts)
        ],
    )
    return folder


def encoding() -> Encoding:
    tokenizer = tiny.make_tokenizer()
    return Encoding(tokenizer, source_text=PieceIds(tokenizer), mel_bins=16)


def random_texts(count: int) -> list[str]:
    rng = np.random.default_rng(3)
    known = [*tiny.WORDS, "café", "\u2581odd", "[", "\\]", "zzz", "\u2581"]
    return [" ".join(rng.choice(known, rng.integers(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("task", ["nlu", "asr"])
def test_lengths_of_targets_are_counted_as_they_are(tmp_path: Path, task: str) -> None:
    folder = sentences(tmp_path / "data", random_texts(60))
    with ark.Writer(folder / "feats.ark", folder / "feats.scp") as write:
        for utterance in kaldi_dir.load(folder):
            write(utterance.id, np.zeros((100, 16), np.float32))
    tables.write_table(folder / "utt2num_frames", {u.id: "100" for u in kaldi_dir.load(folder)})
    found = TaskData(SourceSettings(str(folder), task), encoding())
    assert len(found) == 60 and len(set(found.target_lengths)) > 10
    for utterance, length in zip(found.utterances, found.target_lengths):
        assert length == len(found.reader.target_ids(utterance)) - 1


def test_a_text_too_long_for_any_batch_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = " ".join(["unheard"] * 2000)
    source = SourceSettings(str(sentences(tmp_path / "data", [*random_texts(9), long])), "nlu")
    budgets = BatchSettings()
    with pytest.raises(InputError, match=r"(?s)1 of 10 .*s-009. \d+ target tokens, .*max_targets"):
        TaskData(source, encoding(), budgets=budgets)
    found = TaskData(source, encoding(), max_lost=0.1, budgets=budgets)
    assert len(found) == 9 and "s-009" in caplog.text
    with pytest.raises(InputError, match=r"s-009: 2002 words, more than batch.max_tokens .2000"):
        TaskData(source, encoding(), budgets=BatchSettings(max_tokens=2000))


def test_a_recording_longer_than_a_batch_is_named(tmp_path: Path) -> None:
    source = SourceSettings(str(tiny.make_data(tmp_path / "data", 10)), "asr")
    longest = int(TaskData(source, encoding()).lengths.max())
    TaskData(source, encoding(), budgets=BatchSettings(max_frames=longest))
    with pytest.raises(
        InputError, match=rf"(?s)1 of 10 .*{longest} frames, more than batch.max_fr"
    ):
        TaskData(source, encoding(), budgets=BatchSettings(max_frames=longest - 1))


def test_batches_of_validation_keep_under_both_budgets(tmp_path: Path) -> None:
    found = TaskData(
        SourceSettings(str(sentences(tmp_path / "data", random_texts(60))), "nlu"), encoding()
    )
    batches = in_order(found, 100, 150)
    assert sorted(sum(batches, [])) == list(range(60)) and len(batches) < 40
    for numbers in batches:
        cost = target_cost(found.target_lengths[numbers].max())
        assert len(numbers) == 1 or len(numbers) * found.lengths[numbers].max() <= 100
        assert len(numbers) == 1 or len(numbers) * cost <= 150


def assert_same_batches(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other):
        for field in fields(Batch):
            value, found = getattr(mine, field.name), getattr(theirs, field.name)
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, found), field.name
            else:
                assert value == found, field.name


def mixed_batches(folder: Path) -> StepBatches:
    """Of audio, masked audio and text, with CTC, noise and rooms: all that examples are made of."""
    tokenizer = tiny.make_tokenizer()
    both = replace(encoding(), units=build_units("characters", tokenizer))
    audio.save(folder / "noise.wav", np.sin(np.arange(16000, dtype=np.float32) / 9))
    augmenter = Augmenter(
        AugmentSettings(time_masks=1, noise=(str(folder / "noise.wav"),), reverb_probability=0.5)
    )
    corpus = str(tiny.make_data(folder / "data", 12))
    data = [
        TaskData(SourceSettings(corpus, task), both, augmenter) for task in ("slu", "mlm", "nlu")
    ]
    data[0].pairs()
    found = step_batches(data)
    found[0]  # plans that are kept must not stand in the way
    return found


def test_what_a_training_reads_can_be_sent_to_another_process(tmp_path: Path) -> None:
    batches = mixed_batches(tmp_path)
    sent = pickle.loads(pickle.dumps(batches))
    for step in (0, 7):
        assert_same_batches(sent[step], batches[step])


def test_workers_started_afresh_make_the_same_batches(tmp_path: Path) -> None:
    batches = mixed_batches(tmp_path)
    alone = step_loader(batches, 2, 5, workers=0, pin=False)
    spawned = step_loader(batches, 2, 5, workers=1, pin=False, start_method="spawn")
    found = list(spawned)
    assert len(found) == 3
    for mine, theirs in zip(alone, found):
        assert_same_batches(mine, theirs)
