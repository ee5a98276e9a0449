"""What a frozen network makes of recordings or features, computed once and kept in arks.

    FOLDER/0a4c19be77d1/5e0c2f91a1d40c38.ark     matrices of some minutes of audio
    FOLDER/0a4c19be77d1/5e0c2f91a1d40c38.scp     of what they are made, by its contents

The first name is of the network's weights. What the matrices are made of is named by its contents,
so data dirs with the same recordings share them, a changed recording gets new ones, and an
interruption costs a few minutes of audio. Knows no network: a subclass does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from atat.base import digests
from atat.base.errors import InputError
from atat.datadir import ark, tables
from atat.datadir.kaldi_dir import Utterance
from atat.engine import distributed
from atat.engine.batching import batch_slices

ARK = 30 * 6000  # frames of 10 ms in an ark, half an hour
BATCH = 2 * 6000  # ... in a batch, padded


class Stored:
    """What one network makes of utterances."""

    what = ""  # for messages, such as "phoneme posteriors"
    key = ""  # of the settings that names the folder

    def __init__(self, network: nn.Module, folder: Path) -> None:
        """folder: of all networks of the kind."""
        self.network = network
        self.folder = folder / digest_of(network)

    def names(self, data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Utterance id -> the name of what its matrix is made of, without blanks."""
        raise NotImplementedError

    def frames(self, utterance: Utterance) -> int:
        """Its length in frames of 10 ms."""
        raise NotImplementedError

    def made(self, utterances: Sequence[Utterance]) -> list[np.ndarray]:
        """The matrix (N, D) float32 of each."""
        raise NotImplementedError

    def of(self, data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Where the matrix of each utterance is (`atat.datadir.ark.read`), made if it is not there.

        All utterances can be read. Raises InputError for a folder that cannot be written.
        """
        names = self.names(data, utterances)
        there = self._there()
        missing = {names[one.id]: one for one in utterances if names[one.id] not in there}
        if missing and distributed.rank() == 0:
            try:
                self._make(missing, f"{self.what} of {data}")
            except OSError as error:
                raise InputError(
                    f"{self.folder}: the {self.what} of {data} cannot be written here "
                    f"({error.strerror}); name another folder by the key `{self.key}`"
                ) from None
        distributed.barrier()  # the first rank makes them for all
        there = self._there()
        return {utterance: there[name] for utterance, name in names.items()}

    def _there(self) -> dict[str, str]:
        """Specifiers by names; the arks may have been moved with the folder."""
        found = {}
        for scp in sorted(self.folder.glob("*.scp")):
            for name, specifier in tables.read_table(scp).items():
                found[name] = f"{scp.with_suffix('.ark')}:{specifier.rpartition(':')[2]}"
        return found

    def _make(self, missing: Mapping[str, Utterance], title: str) -> None:
        lengths = {name: self.frames(one) for name, one in missing.items()}
        ordered = sorted(missing, key=lambda name: (lengths[name], name))
        batches = [
            ordered[part] for part in batch_slices([lengths[name] for name in ordered], BATCH)
        ]
        with tqdm(total=len(ordered), desc=title, unit="utt", disable=None) as progress:
            while batches:
                together: list[list[str]] = []
                frames = 0
                while batches and frames < ARK:
                    frames += sum(lengths[name] for name in batches[0])
                    together.append(batches.pop(0))
                stem = self.folder / digests.of_text(" ".join(sum(together, [])))[: digests.SHORT]
                with ark.Writer(stem.with_suffix(".ark"), stem.with_suffix(".scp")) as write:
                    for batch in together:
                        for name, rows in zip(batch, self.made([missing[n] for n in batch])):
                            write(name, rows)
                        progress.update(len(batch))


def digest_of(network: nn.Module) -> str:
    """A short digest of a network's weights."""
    sha = hashlib.sha256()
    for _, value in sorted(network.state_dict().items()):
        sha.update(value.cpu().numpy().tobytes())
    return sha.hexdigest()[:12]
