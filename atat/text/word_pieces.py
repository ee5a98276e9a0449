"""Word pieces for a BERT from scratch: the frequent words of a text, and letters for all others.

BERT's own splitting (`tokenizers`): lower case, no accents, punctuation apart, then the longest
pieces from the left; pieces inside of a word begin with ##.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from atat.base import extras

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def of_texts(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of at most `size` pieces, more only if the letters alone are more."""
    with extras.needed("bert", by="a BERT from scratch"):
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    found = Tokenizer(models.WordPiece({}, unk_token=UNKNOWN))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        plain = found.normalizer.normalize_str(text)
        counts.update(word for word, _ in found.pre_tokenizer.pre_tokenize_str(plain))
    letters = sorted({letter for word in counts for letter in word})
    pieces = [*SPECIALS, *letters, *(f"##{letter}" for letter in letters)]
    words = sorted((word for word in counts if len(word) > 1), key=lambda w: (-counts[w], w))
    pieces += words[: max(size - len(pieces), 0)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    found.model = models.WordPiece(vocabulary, unk_token=UNKNOWN)
    found.add_special_tokens(list(SPECIALS))
    return found
