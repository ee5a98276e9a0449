"""A BiLSTM over the words, with a CRF on its states for slots and a linear layer for the intent.

After Lample et al. 2016, without their character model; both losses are trained together. Words
start from random embeddings or from pretrained ones in GloVe's format (`atat.text.glove`). The
pipelines of Rongali et al. 2021 use pretrained ones; atat includes none.

Shapes: B sentences, T words, D width of the states (both directions), L tags, N intents.

Files of a model: `model.safetensors`, `vocabulary.json`. Knows nothing of data dirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atat.base import machine, permissions
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.nn.attention import length_mask
from atat.nn.crf import LinearChainCRF
from atat.text import glove as vectors
from atat.text.bio_tags import Tagged

PAD, UNKNOWN = "<pad>", "<unk>"
EMBEDDING = 100  # size of a word's embedding if no pretrained ones are given
WIDTH = 128  # LSTM states in each direction
DROPOUT = 0.3
HIDDEN_WORDS = 0.1  # share of training words replaced by UNKNOWN, as new words are in decoding
BATCH = 32  # sentences
LEARNING_RATE = 2e-3
CLIP = 5.0  # gradient norm
PATIENCE = 3  # epochs without a better result on the dev set
AT_ONCE = 256  # sentences tagged at a time


@dataclass(frozen=True)
class Vocabulary:
    """The meaning of the model's word, tag and intent numbers."""

    words: tuple[str, ...]  # PAD and UNKNOWN first
    tags: tuple[str, ...]
    intents: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[Tagged], further_words: Sequence[str] = ()) -> Vocabulary:
        words = {word for example in examples for word in example.words} | {*further_words}
        return cls(
            (PAD, UNKNOWN, *sorted(words - {PAD, UNKNOWN})),
            tuple(sorted({tag for example in examples for tag in example.tags})),
            tuple(sorted({example.intent for example in examples})),
        )


class Network(nn.Module):
    """Words -> scores of tags and intents."""

    def __init__(self, vocabulary: Vocabulary, embedding: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary.words), embedding, padding_idx=0)
        self.dropout = nn.Dropout(DROPOUT)
        self.lstm = nn.LSTM(embedding, WIDTH, batch_first=True, bidirectional=True)
        self.emission = nn.Linear(2 * WIDTH, len(vocabulary.tags))
        self.intent = nn.Linear(2 * WIDTH, len(vocabulary.intents))
        self.crf = LinearChainCRF(len(vocabulary.tags))

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """words (B, T), lengths (B,) -> emissions (B, T, L), intents (B, N)."""
        mask = length_mask(lengths, words.shape[1])
        if self.training:
            hidden = torch.rand(words.shape) < HIDDEN_WORDS
            words = torch.where(mask & hidden, 1, words)
        x = self.dropout(self.embedding(words))
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        states = self.dropout(states)  # (B, T, D)
        # Maximum over time: the words that tell the intent may be anywhere.
        summary = states.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)
        return self.emission(states), self.intent(summary)

    def loss(self, words: Tensor, lengths: Tensor, tags: Tensor, intents: Tensor) -> Tensor:
        """Mean over the sentences of both negative log likelihoods."""
        emissions, scores = self(words, lengths)
        slots = -self.crf(emissions, tags, lengths).mean()
        return slots + nn.functional.cross_entropy(scores, intents)


class Tagger:
    """A trained model."""

    def __init__(self, folder: Path) -> None:
        path = folder / "vocabulary.json"
        if not path.is_file():
            raise InputError(
                f"{path}: no such file; train with: atat pipeline train --kind bilstm_crf"
            )
        about = json.loads(path.read_text(encoding="utf-8"))
        self.vocabulary = Vocabulary(*(tuple(about[key]) for key in ("words", "tags", "intents")))
        self.numbers = {word: i for i, word in enumerate(self.vocabulary.words)}
        self.network = Network(self.vocabulary, about["embedding"])
        self.network.load_state_dict(load_file(folder / "model.safetensors"))
        self.network.eval()

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Tagged, float]]:
        """Tags and intent of each sentence (of one word or more), with their log probability."""
        found = []
        for start in range(0, len(sentences), AT_ONCE):
            found += _tag(
                self.network, self.vocabulary, self.numbers, sentences[start : start + AT_ONCE]
            )
        return found


@torch.inference_mode()
def _tag(
    network: Network,
    vocabulary: Vocabulary,
    numbers: dict[str, int],
    sentences: Sequence[Sequence[str]],
) -> list[tuple[Tagged, float]]:
    words, lengths = _words(sentences, numbers)
    emissions, intents = network(words, lengths)
    best = network.crf.best_paths(emissions, lengths)  # (B, T)
    slots = network.crf(emissions, best, lengths)  # (B,)
    intent_scores, chosen = intents.log_softmax(-1).max(-1)  # (B,)
    # Rounding can raise the log probability of an almost certain output above 0.
    scores = (slots + intent_scores).clamp(max=0.0).tolist()
    return [
        (
            Tagged(
                tuple(sentence),
                tuple(vocabulary.tags[tag] for tag in path[: len(sentence)]),
                vocabulary.intents[intent],
            ),
            score,
        )
        for sentence, path, intent, score in zip(sentences, best.tolist(), chosen.tolist(), scores)
    ]


def train(
    examples: Sequence[Tagged],
    valid: Sequence[Tagged],
    folder: Path,
    *,
    seed: int,
    epochs: int,
    embeddings: Path | None = None,
) -> dict[str, Any]:
    """Train on the examples and write the model's files; returns facts for train.json.

    The model is that of the epoch with the most dev sentences fully right, and among those
    the smallest loss; without a dev set, of the last epoch. The same seed gives the same model.
    """
    torch.manual_seed(seed)
    # Such small matrices gain nothing from threads, and one thread adds in a fixed order.
    with machine.threads(1):
        return _train(examples, valid, folder, seed, epochs, embeddings)


def _train(
    examples: Sequence[Tagged],
    valid: Sequence[Tagged],
    folder: Path,
    seed: int,
    epochs: int,
    embeddings: Path | None,
) -> dict[str, Any]:
    from tqdm import tqdm

    pretrained = {}
    if embeddings is not None:
        pretrained = vectors.load(embeddings, {word for e in examples for word in e.words})
    size = len(next(iter(pretrained.values()))) if pretrained else EMBEDDING
    vocabulary = Vocabulary.of(examples, list(pretrained))
    network = Network(vocabulary, size)
    numbers = {word: i for i, word in enumerate(vocabulary.words)}
    with torch.no_grad():
        for word, vector in pretrained.items():
            network.embedding.weight[numbers[word]] = torch.from_numpy(vector)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    batches = _Batches(examples, vocabulary, numbers)
    order = torch.Generator().manual_seed(seed)
    best, best_epoch, steps = (-1, 0.0), 0, 0
    kept = network.state_dict()
    for epoch in range(1, epochs + 1):
        network.train()
        bar = tqdm(
            batches.epoch(order),
            total=len(batches),
            unit="step",
            leave=False,
            desc=f"bilstm_crf epoch {epoch}, best {best_epoch}",
        )
        for batch in bar:
            optimizer.zero_grad()
            loss = network.loss(*batch)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            steps += 1
        found = _judge(network.eval(), vocabulary, numbers, valid)
        if found > best or not valid:
            best, best_epoch = found, epoch
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= PATIENCE:
            break
    _save(folder, kept, vocabulary, size)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "steps": steps,
        "chosen": f"epoch {best_epoch} of {epoch}",
        "pretrained_words": len(pretrained),
    }


@torch.inference_mode()
def _judge(
    network: Network, vocabulary: Vocabulary, numbers: dict[str, int], valid: Sequence[Tagged]
) -> tuple[int, float]:
    """Number of sentences with all tags and the intent right; minus the sum of their losses.

    Tags and intents unseen in training are wrong and not in the loss.
    """
    right, loss = 0, 0.0
    for start in range(0, len(valid), AT_ONCE):
        wanted = valid[start : start + AT_ONCE]
        found = _tag(network, vocabulary, numbers, [example.words for example in wanted])
        right += sum(one == other for one, (other, _) in zip(wanted, found))
        known = [
            e for e in wanted if {*e.tags} <= {*vocabulary.tags} and e.intent in vocabulary.intents
        ]
        if known:
            batch = _Batches(known, vocabulary, numbers).collate(range(len(known)))
            loss += float(network.loss(*batch)) * len(known)
    return right, -loss


class _Batches:
    """The examples as tensors, in batches of sentences of similar length."""

    def __init__(
        self, examples: Sequence[Tagged], vocabulary: Vocabulary, numbers: dict[str, int]
    ) -> None:
        tag_number = {tag: i for i, tag in enumerate(vocabulary.tags)}
        intent_number = {intent: i for i, intent in enumerate(vocabulary.intents)}
        self.words = [example.words for example in examples]
        self.tags = [torch.tensor([tag_number[tag] for tag in e.tags]) for e in examples]
        self.intents = torch.tensor([intent_number[example.intent] for example in examples])
        self.numbers = numbers

    def __len__(self) -> int:
        return -(-len(self.words) // BATCH)

    def epoch(self, order: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """words (B, T), lengths (B,), tags (B, T), intents (B,); every sentence once."""
        shuffled = torch.randperm(len(self.words), generator=order).tolist()
        # Sorted within stretches of many batches only, so that batches differ between epochs.
        stretch = 50 * BATCH
        ordered = [
            index
            for start in range(0, len(shuffled), stretch)
            for index in sorted(shuffled[start : start + stretch], key=lambda i: len(self.words[i]))
        ]
        for number in torch.randperm(len(self), generator=order).tolist():
            yield self.collate(ordered[number * BATCH : (number + 1) * BATCH])

    def collate(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """words (B, T), lengths (B,), tags (B, T), intents (B,) of some examples."""
        words, lengths = _words([self.words[index] for index in chosen], self.numbers)
        tags = nn.utils.rnn.pad_sequence([self.tags[index] for index in chosen], batch_first=True)
        return words, lengths, tags, self.intents[list(chosen)]


def _words(sentences: Sequence[Sequence[str]], numbers: dict[str, int]) -> tuple[Tensor, Tensor]:
    """Word numbers (B, T), padded with 0, and lengths (B,)."""
    rows = [torch.tensor([numbers.get(word, 1) for word in words]) for words in sentences]
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


def _save(folder: Path, state: dict[str, Tensor], vocabulary: Vocabulary, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "vocabulary.json") as stream:
        json.dump(
            {
                "words": vocabulary.words,
                "tags": vocabulary.tags,
                "intents": vocabulary.intents,
                "embedding": size,
            },
            stream,
            indent=0,
        )
    partial = folder / "model.partial"
    with permissions.of_new_files(partial):
        save_file({name: value.contiguous() for name, value in state.items()}, partial)
    partial.replace(folder / "model.safetensors")
