"""Laws of the tree notation: what is written is what is read, and errors say where."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from atat.datadir import check, kaldi_dir
from atat.text import trees as semantics
from atat.text.constraint import pairs_of
from atat.text.trees import SemanticsError, Tree, parse, to_string

SONG = "[IN:PLAY_SONG play the song [SL:SONG watermelon sugar ] ]"
NESTED = (
    "[IN:GET_EVENT what is [SL:LOCATION near [IN:GET_HOME my [SL:CONTACT mom ] 's ] place ] today ]"
)
ALPHABET = "ab'[]\\]é▁<0x41>中"


def random_tree(rng: random.Random, depth: int = 0) -> Tree:
    kind = "IN" if depth % 2 == 0 else "SL"
    children: list[Tree | str] = []
    for _ in range(rng.randint(0, 4)):
        if depth < 5 and rng.random() < 0.4:
            children.append(random_tree(rng, depth + 1))
        else:
            children.append("".join(rng.choices(ALPHABET, k=rng.randint(1, 4))))
    return Tree(f"{kind}:{rng.choice(['A', 'PLAY_SONG', 'X-1'])}", tuple(children))


def read_top(data_root: Path) -> list[list[str]]:
    """Rows (raw, tokenised, tree) of every TOP file."""
    return [
        line.split("\t")
        for path in sorted((data_root / "top").glob("*.tsv"))
        for line in path.read_text(encoding="utf-8").split("\n")
        if line
    ]


def test_structure_words_and_tags_in_order() -> None:
    tree = parse(SONG)
    assert tree == Tree(
        "IN:PLAY_SONG", ("play", "the", "song", Tree("SL:SONG", ("watermelon", "sugar")))
    )
    assert semantics.words(tree) == ["play", "the", "song", "watermelon", "sugar"]
    assert semantics.tags(tree) == {"[IN:PLAY_SONG", "[SL:SONG", "]"}
    assert semantics.words(parse(NESTED)) == "what is near my mom 's place today".split()


def test_written_is_read_on_random_trees() -> None:
    rng = random.Random(1)
    trees = [random_tree(rng) for _ in range(500)]
    for tree in trees:
        text = to_string(tree)
        assert parse(text) == tree
        assert to_string(parse(text)) == text
        assert semantics.parse_tokens(semantics.to_tokens(tree)) == tree
        assert hash(parse(text)) == hash(tree)
    assert len({to_string(tree) for tree in trees}) == len(set(trees))


def test_brackets_and_backslashes_in_words() -> None:
    tree = Tree("IN:A", ("[IN:A", "]", "a]b", "\\", "\\]", "C:\\new"))
    assert to_string(tree) == r"[IN:A \[IN:A \] a\]b \\ \\\] C:\\new ]"
    assert parse(to_string(tree)) == tree
    assert semantics.words(parse(r"[IN:A they \u2019 re ]")) == ["they", r"\u2019", "re"]


def test_any_depth() -> None:
    depth = 20_000
    text = "[IN:A [SL:B " * depth + "word" + " ] ]" * depth
    tree = parse(text)
    assert to_string(tree) == text
    assert tree == parse(text)
    assert semantics.words(tree) == ["word"]


def deep(depth: int) -> str:
    """A tree of alternating nodes, each with a word at its end."""
    opened = [f"[{'SL' if level % 2 else 'IN'}:X" for level in range(depth)]
    return " ".join([*opened, *["red ]"] * depth])


def only_intents(depth: int) -> str:
    """No tree that a corpus should hold, but one that is read."""
    return " ".join([*["[IN:X"] * depth, *["red ]"] * depth])


def work(function: Callable[[], object]) -> tuple[int, int]:
    """Calls that a function makes, and the most bytes it holds: neither knows of slow machines."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return calls, peak


@pytest.mark.parametrize("text", [deep, only_intents])
@pytest.mark.parametrize(
    "task",
    [
        semantics.is_well_formed,
        semantics.brackets,
        semantics.drop_words_outside_slots,
        semantics.tags,
        semantics.words,
        to_string,
        pairs_of,
        lambda tree: parse(to_string(tree)),
        lambda tree: tree == parse(to_string(tree)),
        hash,
    ],
)
def test_a_tree_twice_as_deep_is_twice_the_work(
    task: Callable[[Tree], object], text: Callable[[int], str]
) -> None:
    tree, double = parse(text(1000)), parse(text(2000))
    (calls, peak), (more, larger) = work(lambda: task(tree)), work(lambda: task(double))
    assert more < 2.5 * calls and larger < 2.5 * peak


def test_a_tree_of_any_depth_is_read_checked_and_written(tmp_path: Path) -> None:
    text = deep(20_000)
    tree = parse(text)
    assert to_string(tree) == text and semantics.is_well_formed(tree)
    assert len(semantics.brackets(tree)) == 20_000
    assert to_string(semantics.drop_words_outside_slots(tree)).count("red") == 20_000 - 1
    assert pairs_of(tree) == {("", "IN:X"), ("IN:X", "SL:X"), ("SL:X", "IN:X")}
    kaldi_dir.write(
        tmp_path / "data",
        [kaldi_dir.Utterance("a-1", "a", text=" ".join(semantics.words(tree)), semantics=text)],
    )
    assert not check.validate(tmp_path / "data").errors


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("", "", "empty"),
        ("play the song", "token 1 ('play')", "begin with an opening tag"),
        ("]", "token 1", "begin with an opening tag"),
        ("[IN:A play", "token 1", "1 ']' missing"),
        ("[IN:A [SL:B x ]", "'[IN:A' at token 1", "missing"),
        ("[IN:A [SL:B [IN:C x ]", "'[SL:B' at token 2", "2 ']' missing"),
        ("[IN:A x ] ]", "token 4 (']')", "ended before"),
        ("[IN:A x ] [IN:B y ]", "token 4 ('[IN:B')", "two trees"),
        ("[IN:A [SONG x ] ]", "token 2 ('[SONG')", "not a tag"),
        ("[IN: x ]", "token 1 ('[IN:')", "opening tag"),
        ("[IN:A sugar] ]", "token 2 ('sugar]')", "bracket inside a word"),
        ("[IN:A [SL:B] x ]", "token 2 ('[SL:B]')", "not a tag"),
        ("[IN:A ]] ]", "token 2 (']]')", "bracket inside a word"),
    ],
)
def test_errors_say_what_and_where(text: str, position: str, what: str) -> None:
    with pytest.raises(SemanticsError) as error:
        parse(text)
    assert position in str(error.value)
    assert what in str(error.value)


@pytest.mark.parametrize("label", ["SONG", "IN:", "IN:A B", "IN:A]", "in:A"])
def test_impossible_labels_are_refused(label: str) -> None:
    with pytest.raises(SemanticsError, match="expected IN:NAME or SL:NAME"):
        Tree(label)


@pytest.mark.parametrize("word", ["", "two words", " a", "a\u00a0b"])
def test_impossible_words_are_refused(word: str) -> None:
    with pytest.raises(SemanticsError, match="not one word"):
        Tree("IN:A", (word,))


def test_drop_words_outside_slots() -> None:
    def dropped(text: str) -> str:
        return to_string(semantics.drop_words_outside_slots(parse(text)))

    assert dropped(SONG) == "[IN:PLAY_SONG [SL:SONG watermelon sugar ] ]"
    assert dropped(NESTED) == (
        "[IN:GET_EVENT [SL:LOCATION near [IN:GET_HOME my [SL:CONTACT mom ] 's ] place ] ]"
    )
    assert dropped("[IN:A hello ]") == "[IN:A ]"
    assert dropped("[IN:A and [IN:B no slot ] ]") == "[IN:A [IN:B ] ]"
    assert dropped(r"[IN:A \[ [SL:B \] ] ]") == r"[IN:A [SL:B \] ] ]"


def test_items_and_brackets() -> None:
    tree = parse(NESTED)
    root, slot, home = "IN:GET_EVENT", "SL:LOCATION", "IN:GET_HOME"
    assert semantics.items(tree) == [
        ((root,), ""),
        ((root, slot), "near my mom 's place"),
        ((root, slot, home), ""),
        ((root, slot, home, "SL:CONTACT"), "mom"),
    ]
    assert semantics.brackets(tree) == [
        (root, 0, 8),
        (slot, 2, 7),
        (home, 3, 6),
        ("SL:CONTACT", 4, 5),
    ]
    assert semantics.brackets(parse("[IN:A x [SL:B ] y ]"))[1] == ("SL:B", 1, 1)


def test_open_and_close_tokens() -> None:
    assert semantics.is_open("[IN:A") and semantics.is_open("[SL:B-2")
    assert not any(map(semantics.is_open, ["[", "[X:A", r"\[IN:A", "IN:A", "]", "[IN:A]"]))
    assert semantics.is_close("]") and not semantics.is_close(r"\]")


def test_well_formed_means_an_intent_at_the_root_and_alternation() -> None:
    assert semantics.is_well_formed(parse(NESTED))
    for text in ("[SL:A x ]", "[IN:A [IN:B x ] ]", "[IN:A [SL:B [SL:C x ] ] ]"):
        assert not semantics.is_well_formed(parse(text))


def test_every_tree_of_top(data_root: Path) -> None:
    rows = read_top(data_root)
    assert len(rows) > 7000
    for _, tokenised, text in rows:
        tree = parse(text)
        assert parse(to_string(tree)) == tree
        assert semantics.words(tree) == tokenised.split()
        assert semantics.is_well_formed(tree)
        if "\\" not in text:
            assert to_string(tree) == text
