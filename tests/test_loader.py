"""What training and validation read: the same whoever prepares it, and however often."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from atat.dataset import Augmenter, Encoding, TaskData
from atat.loader import StepBatches
from atat.sampler import Sampler
from atat.settings import AugmentSettings, BatchSettings, Source

SETTINGS = BatchSettings(examples=12, block=3, max_frames=300)
TASKS = ("slu", "mlm", "asr")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[TaskData]:
    """A mix in which masking and augmentation are drawn."""
    folder = tiny.make_data(tmp_path_factory.mktemp("corpus") / "train", 30)
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16)
    augmenter = Augmenter(AugmentSettings(time_masks=2, freq_masks=1))
    return [TaskData(Source(str(folder), task), encoding, augmenter) for task in TASKS]


def step_batches(data: list[TaskData], rank: int = 0, ranks: int = 1) -> StepBatches:
    sampler = Sampler([d.lengths for d in data], [1.0] * len(data), [d.is_audio for d in data],
                      SETTINGS, seed=1, ranks=ranks)
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
