"""Text and trees as token ids: word pieces for words, one id for each tag.

    0 <pad> | 1 <eos> | 2 … word pieces | task labels | <cls> <sep> | ] | opening tags

Words are split by byte-pair encoding with byte fallback (sentencepiece), so that every text has
ids; tags and task labels are atomic and never reach sentencepiece (Rongali et al. 2021,
"Architecture"). The table of tags only grows at its end: a new domain adds tags, and every id of
a trained model keeps its meaning.

Knows nothing of models, and does not normalise: it takes text as it is in the data dirs.
`tokenizer_command` makes one from data dirs.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import sentencepiece

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.text import trees
from atat.text.tasks import TASKS, Target
from atat.text.trees import CLOSE, Tree

VERSION = 1
CLS, SEP = "<cls>", "<sep>"
PAD_ID, EOS_ID, FIRST_PIECE_ID = 0, 1, 2
# Pieces that always exist, so that a later corpus can be spelt in letters.
_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
LARGEST = 10**6  # pieces
_SPACE = "\u2581"  # sentencepiece's mark of a word's start
_UNKNOWN = "\u2047"  # what an id without meaning decodes to


def task_label(name: str) -> str:
    """The symbol that starts a target of the task `name`."""
    return f"<{name}>"


class Tokenizer:
    """Word pieces and symbols with their ids; immutable. Made by `train`, `load` or `extend`."""

    pad_id = PAD_ID
    eos_id = EOS_ID
    first_piece_id = FIRST_PIECE_ID

    def __init__(self, model: bytes, symbols: Sequence[str]) -> None:
        """From a serialised sentencepiece model and the table of symbols in the order of ids."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.symbols = list(symbols)
        self.num_pieces: int = self._processor.get_piece_size()
        self.vocab_size = FIRST_PIECE_ID + self.num_pieces + len(self.symbols)
        self._first_symbol_id = FIRST_PIECE_ID + self.num_pieces
        self._ids = {
            symbol: self._first_symbol_id + index for index, symbol in enumerate(self.symbols)
        }
        self._pieces = [self._processor.id_to_piece(index) for index in range(self.num_pieces)]
        self._piece_bytes = [self._bytes_of(index) for index in range(self.num_pieces)]
        self._space_id = self._processor.piece_to_id(_SPACE) + FIRST_PIECE_ID
        self._byte_ids = [
            self._processor.piece_to_id(f"<0x{byte:02X}>") + FIRST_PIECE_ID for byte in range(256)
        ]
        self.cls_id = self._ids[CLS]
        self.sep_id = self._ids[SEP]
        self.close_id = self._ids[CLOSE]

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[bytes, list[str]]]:
        return Tokenizer, (self._model, self.symbols)

    def _bytes_of(self, index: int) -> bytes:
        """The text that a piece stands for."""
        piece = self._pieces[index]
        if self._processor.is_byte(index):
            return bytes([int(piece[3:5], 16)])
        if self._processor.is_unknown(index):
            return _UNKNOWN.encode()
        return piece.replace(_SPACE, " ").encode()

    # Making, storing

    @classmethod
    def train(cls, texts: Iterable[str], tags: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn `vocab_size` pieces from texts (fewer if the texts hold fewer) and add tags.

        The result depends only on the texts and their order. Raises InputError for no text, a
        vocabulary too small for single characters and bytes, and a malformed tag.
        """
        symbols = [*map(task_label, TASKS), CLS, SEP, CLOSE, *_opening(tags)]
        sentences = [sentence for text in texts if (sentence := " ".join(text.split()))]
        if not sentences:
            raise InputError("there is no text to train a tokenizer from")
        if not 0 < vocab_size <= LARGEST:
            raise InputError(f"vocab_size is {vocab_size}; expected 1 to {LARGEST:,}")
        longest = max(len(sentence.encode()) for sentence in sentences)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                model_type="bpe",
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                byte_fallback=True,
                character_coverage=0.9995,
                required_chars=_LETTERS,
                normalization_rule_name="identity",
                add_dummy_prefix=True,
                max_sentence_length=max(longest + 1, 10),  # sentencepiece's smallest limit
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            fewest = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
            if fewest is None:
                raise
            raise InputError(
                f"vocab_size {vocab_size} is too small for this text: its characters and the 256 "
                f"bytes are {fewest[1]} pieces already. Choose more, so that frequent parts of "
                "words are pieces, too: some hundred for a small domain, 5000 in the paper"
            ) from None
        return cls(model.getvalue(), symbols)

    def extend(self, tags: Iterable[str]) -> Tokenizer:
        """A tokenizer with new tags and labels of new tasks appended; existing ids stay."""
        wanted = [*map(task_label, TASKS), *_opening(tags)]
        new = [symbol for symbol in wanted if symbol not in self._ids]
        return Tokenizer(self._model, self.symbols + new)

    def extends(self, base: Tokenizer) -> bool:
        """Whether every id of `base` means the same here."""
        return self._pieces == base._pieces and self.symbols[: len(base.symbols)] == base.symbols

    def fingerprint(self) -> str:
        """A hash of all pieces and symbols: equal if all ids mean the same."""
        table = json.dumps([self._pieces, self.symbols])
        return digests.of_text(table)[: digests.SHORT]

    def save(self, folder: str | Path) -> None:
        """Write bpe.model, symbols.txt and tokenizer.json (version and fingerprint, last)."""
        folder = Path(folder)
        with atomic_write(folder / "bpe.model", "wb") as stream:
            stream.write(self._model)
        with atomic_write(folder / "symbols.txt") as stream:
            stream.writelines(f"{symbol}\n" for symbol in self.symbols)
        with atomic_write(folder / "tokenizer.json") as stream:
            json.dump({"version": VERSION, "fingerprint": self.fingerprint()}, stream)
            stream.write("\n")

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """Read what `save` wrote; InputError if a file is missing, damaged or from another one."""
        folder = Path(folder)
        missing = [
            name
            for name in ("bpe.model", "symbols.txt", "tokenizer.json")
            if not (folder / name).is_file()
        ]
        if missing:
            raise InputError(
                f"{folder}: no {' and no '.join(missing)}, so not a tokenizer folder; "
                "make one with: atat tokenizer train"
            )
        try:
            about = json.loads("\n".join(read_lines(folder / "tokenizer.json")))
            version, fingerprint = about["version"], about["fingerprint"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError(
                f"{folder}/tokenizer.json: damaged; train the tokenizer again"
            ) from None
        if version != VERSION:
            raise InputError(
                f"{folder}/tokenizer.json: version {version}, expected {VERSION}; train it again"
            )
        symbols = read_lines(folder / "symbols.txt")
        lost = [symbol for symbol in (CLS, SEP, CLOSE) if symbol not in symbols]
        if lost:
            raise InputError(f"{folder}/symbols.txt: no {lost[0]}; copy the whole folder again")
        try:
            tokenizer = cls((folder / "bpe.model").read_bytes(), symbols)
        except RuntimeError as error:
            raise InputError(f"{folder}/bpe.model: not a sentencepiece model ({error})") from None
        if tokenizer.fingerprint() != fingerprint:
            raise InputError(
                f"{folder}: bpe.model and symbols.txt do not match tokenizer.json; "
                "copy the whole folder again, or change tags with: atat tokenizer extend"
            )
        return tokenizer

    # Looking up

    def task_id(self, name: str) -> int:
        """Id of the label that starts a target of the task `name`."""
        if task_label(name) not in self._ids:
            raise InputError(
                f"task {name!r} has no label in the tokenizer; where the system knows the task, "
                "add it with: atat tokenizer extend"
            )
        return self._ids[task_label(name)]

    def has_tag(self, tag: str) -> bool:
        """Whether `]` or an opening tag like `[IN:X` has an id."""
        return tag in self._ids and not tag.startswith("<")

    def tag_id(self, tag: str) -> int:
        """Id of `]` or an opening tag like `[IN:X`; InputError if it has none."""
        if not self.has_tag(tag):
            raise InputError(
                f"tag {tag!r} is not in the tokenizer; fix a typo in the data, or add the tags "
                "of a data dir with: atat tokenizer extend --tokenizer OLD "
                "--data DIR --out NEW"
            )
        return self._ids[tag]

    @property
    def open_ids(self) -> dict[str, int]:
        """Opening tags and their ids, in the order of ids."""
        return {symbol: id_ for symbol, id_ in self._ids.items() if trees.is_open(symbol)}

    def is_symbol(self, id_: int) -> bool:
        """Whether an id is a task label, <cls>, <sep> or a tag."""
        return self._first_symbol_id <= id_ < self.vocab_size

    def is_open(self, id_: int) -> bool:
        """Whether an id is an opening tag."""
        return self.is_symbol(id_) and trees.is_open(self._symbol(id_))

    def is_word_start(self, id_: int) -> bool:
        """Whether an id is a piece that begins a word."""
        index = id_ - FIRST_PIECE_ID
        return 0 <= index < self.num_pieces and self._pieces[index].startswith(_SPACE)

    def _symbol(self, id_: int) -> str:
        return self.symbols[id_ - self._first_symbol_id]

    @property
    def pieces(self) -> list[str]:
        """The word pieces in the order of ids, the first of which is `first_piece_id`."""
        return list(self._pieces)

    @property
    def source_size(self) -> int:
        """Number of ids a source text can hold: pieces, <cls> and <sep>, but no tag."""
        return max(self.cls_id, self.sep_id) + 1

    # Encoding, decoding

    def encode_text(self, text: str) -> list[int]:
        """Ids of the words of a text, without label or end; white space is one blank."""
        ids: list[int] = []
        # sentencepiece reads its own mark as a blank: such a word is spelt in bytes.
        for marked, group in groupby(text.split(), key=lambda word: _SPACE in word):
            if marked:
                for word in group:
                    ids += [self._space_id, *(self._byte_ids[byte] for byte in word.encode())]
            else:
                pieces = self._processor.encode(" ".join(group))
                ids += [index + FIRST_PIECE_ID for index in pieces]
        return ids

    def encode_tree(self, tree: Tree) -> list[int]:
        """Ids of a tree, words and tags in the order of its text, without label or end.

        Every run of words begins with a word-start piece. Raises InputError for an unknown tag.
        """
        ids: list[int] = []
        tokens = trees.to_tokens(tree)
        for is_tag, group in groupby(tokens, key=lambda t: trees.is_open(t) or t == CLOSE):
            if is_tag:
                ids += map(self.tag_id, group)
            else:
                ids += self.encode_text(" ".join(map(trees.unescape, group)))
        return ids

    def encode_target(self, target: str, kind: Target) -> list[int]:
        """Ids of a transcript or of a tree's text, without label or end.

        Raises SemanticsError for a text that is not a tree, InputError for an unknown tag.
        """
        return self.encode_text(target) if kind == "text" else self.encode_tree(trees.parse(target))

    def decode(self, ids: Iterable[int], kind: Target = "semantics") -> str:
        """The text that ids stand for, up to the first end symbol; accepts any ids.

        Tags become tokens between the words, balanced or not. Task labels, <cls>, <sep> and
        padding are left out; bytes that are not UTF-8 become U+FFFD and ids without meaning
        U+2047. For semantics, words that look like brackets are escaped, so that they cannot be
        taken for tags; for text they stay as they are.
        """
        tokens: list[str] = []
        spelt = bytearray()

        def finish_words() -> None:
            words = spelt.decode("utf-8", errors="replace").split()
            tokens.extend(map(trees.escape, words) if kind == "semantics" else words)
            spelt.clear()

        for id_ in map(int, ids):
            if id_ == EOS_ID:
                break
            if self.is_symbol(id_):
                finish_words()
                symbol = self._symbol(id_)
                if not symbol.startswith("<"):
                    tokens.append(symbol)
            elif FIRST_PIECE_ID <= id_ < self._first_symbol_id:
                spelt += self._piece_bytes[id_ - FIRST_PIECE_ID]
            elif id_ != PAD_ID:
                spelt += _UNKNOWN.encode()
        finish_words()
        return " ".join(tokens)


def _opening(tags: Iterable[str]) -> list[str]:
    """The opening tags among `tags`, sorted; InputError for anything that is not a tag."""
    unique = sorted(set(tags) - {CLOSE})
    for tag in unique:
        if not trees.is_open(tag):
            raise InputError(f"{tag!r} is not a tag; expected '[IN:NAME' or '[SL:NAME'")
    return unique
