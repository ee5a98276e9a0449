"""The values that slots may have, as a list of what can be said: a catalogue, or a small grammar.

With `atat decode --well_formed --values DATA` a slot takes one of the values that the trees of DATA
give it. So a domain whose values are known is understood as such, songs that came out yesterday
can be asked for today, and no training is needed for either. Slots that DATA does not have, and
slots that hold intents there, take any words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from atat.base.errors import InputError
from atat.text.tokenizer import Tokenizer
from atat.text.trees import Tree


class SlotValues:
    """A trie of the tokens of all values of each slot.

    Nodes are numbers. `starts`: the first node of each slot's label; `next[node]`: token -> node;
    `ends`: the nodes at which a value is complete; `needed[node]`: tokens to the nearest of them.
    """

    def __init__(self, tokenizer: Tokenizer, values: Mapping[str, Iterable[str]]) -> None:
        """values: of each label, such as {"SL:SONG": ["silver river"]}, normalised words.

        Raises InputError for a label that the tokenizer does not have, and for one without values.
        """
        self.starts: dict[str, int] = {}
        self.next: list[dict[int, int]] = []
        self.ends: set[int] = set()
        self.needed: list[int] = []
        for label, texts in values.items():
            if f"[{label}" not in tokenizer.open_ids:
                raise InputError(
                    f"values of {label}: the model does not know this slot; its tags are "
                    f"{', '.join(sorted(tag[1:] for tag in tokenizer.open_ids))}"
                )
            self.starts[label] = self._node()
            for text in texts:
                if ids := tokenizer.encode_text(text):
                    self._add(self.starts[label], ids)
            if not self.next[self.starts[label]]:
                raise InputError(f"values of {label}: none is given; leave the slot out")

    def _add(self, node: int, ids: list[int]) -> None:
        for left, token in zip(range(len(ids), 0, -1), ids):
            self.needed[node] = min(self.needed[node], left)
            if token not in self.next[node]:
                self.next[node][token] = self._node()
            node = self.next[node][token]
        self.needed[node] = 0
        self.ends.add(node)

    def _node(self) -> int:
        self.next.append({})
        self.needed.append(sys.maxsize)
        return len(self.next) - 1


def of_trees(found: Iterable[Tree]) -> dict[str, list[str]]:
    """The values of each slot that never holds an intent, in the order in which they occur.

    A slot without words has none of them.
    """
    values: dict[str, dict[str, None]] = {}
    free: set[str] = set()
    waiting = list(found)[::-1]
    while waiting:
        node = waiting.pop()
        inner = [child for child in node.children if isinstance(child, Tree)]
        waiting += inner[::-1]
        if not node.label.startswith("SL:"):
            continue
        if inner:
            free.add(node.label)
        elif node.children:
            values.setdefault(node.label, {})[" ".join(map(str, node.children))] = None
    return {label: list(texts) for label, texts in values.items() if label not in free}
