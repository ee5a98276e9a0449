"""The sentences of made-up miniature corpora: templates whose blanks are filled in by lot.

A recipe's `local/make_mini.py` has the templates and writes the layout of its corpus. Knows nothing
of layouts, and nothing of what a template means: it may be a sentence or a tree.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def draw(
    templates: Sequence[str], fillers: Mapping[str, Sequence[str]], count: int, rng: random.Random
) -> list[str]:
    """`count` different texts; every template comes as soon as can be.

    {name} in a template becomes one of the texts of `fillers[name]`.
    """
    found: dict[str, None] = {}
    for number in range(100 * count):
        if len(found) == count:
            return list(found)
        template = templates[number % len(templates)]
        found.setdefault(template.format(**{key: rng.choice(v) for key, v in fillers.items()}))
    raise AssertionError(f"the templates have no {count} texts")
