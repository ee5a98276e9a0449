"""Grammars: every sentence has a tree of its words, all are found, the same seed draws the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import grammar_command, kaldi_dir
from atat.text import grammar_files, trees

OURS = """
intents:
  play music:
    - (play | put on) [some] {song} [by {artist}]
    - <please> play {song:title} track[s]
  stop: [stop (it; now), "{song}'s end"]
lists: {song: [silver river, on, 9:30], artist: [maria bennett]}
rules: {please: "[could you | would you] please"}
"""
HASSIL = r"""
language: en
intents:
  HassTurnOn:
    data:
      - sentences: ["<turn> on [all] [the] light[s] in <area>", "{level} \\(percent\\)"]
        slots: {domain: light}
        expansion_rules: {turn: (turn | switch)}
lists:
  area: {values: [{in: 'living room[s]', out: living}, office]}
  level: {range: {from: -1, to: 3}}
expansion_rules: {area: "[the] {area}", unused: "{nowhere}"}
"""
RHINO = """
context:
  expressions:
    orderDrink: ["(@polite) [get, give] me $size:size $drink:coffeeDrink (please, [now, today])"]
  slots: {size: [small, 8 ounce], drink: [mocha, latte]}
  macros: {polite: [please, could you]}
"""


def load(folder: Path, *texts: str) -> grammar_files.Grammar:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"grammar{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return grammar_files.load(paths)


@pytest.mark.parametrize(
    "text, ways",
    [(OURS, 12 + 12 + 18 + 2 + 3), (HASSIL, 2 * 2 * 2 * 2 * 2 * 3 + 5), (RHINO, 96 + 0)],
)
def test_sentences_are_the_words_of_well_formed_trees(tmp_path: Path, text: str, ways: int) -> None:
    grammar = load(tmp_path, text)
    found = grammar_command.expanded(grammar)
    assert grammar.derivations() == len(list(grammar.every())) == ways
    assert len({one.text for one in found}) == len(found)
    for one in found:
        assert trees.is_well_formed(one.tree)
        assert one.text == " ".join(trees.words(one.tree)) and one.text.strip()
        assert trees.parse(trees.to_string(one.tree)) == one.tree


def test_what_the_formats_mean(tmp_path: Path) -> None:
    ours, hassil, rhino = (
        {trees.to_string(one.tree) for one in load(tmp_path, text).every()}
        for text in (OURS, HASSIL, RHINO)
    )
    assert "[IN:PLAY_MUSIC put on [SL:SONG nine thirty ] by [SL:ARTIST maria bennett ] ]" in ours
    assert "[IN:PLAY_MUSIC would you please play [SL:TITLE on ] tracks ]" in ours
    assert {"[IN:STOP stop now it ]", "[IN:STOP [SL:SONG on's ] end ]"} <= ours
    turned = "[IN:HASS_TURN_ON switch on the lights in the [SL:AREA living rooms ] ]"
    assert {turned, "[IN:HASS_TURN_ON [SL:LEVEL minus one ] percent ]"} <= hassil
    order = "give me [SL:SIZE eight ounce ] [SL:COFFEE_DRINK latte ] today ]"
    assert f"[IN:ORDER_DRINK could you {order}" in rhino


@pytest.mark.parametrize(
    "template, expected",
    [
        ("track[s] now", {"track now", "tracks now"}),
        ("please [un]lock", {"please lock", "please unlock"}),
        ("go (up|)stairs", {"go stairs", "go upstairs"}),
        ("[a]b[c] d", {"b d", "ab d", "bc d", "abc d"}),
        ("{door}[s] now", {"[SL:DOOR gate ] now", "[SL:DOOR gates ] now"}),
        ("the [un]{door}", {"the [SL:DOOR gate ]", "the [SL:DOOR ungate ]"}),
        ("open {room}door", {"open [SL:ROOM beddoor ]", "open [SL:ROOM bed roomdoor ]"}),
    ],
)
def test_a_part_left_out_joins_nothing_else(
    tmp_path: Path, template: str, expected: set[str]
) -> None:
    lists = "{door: [gate], room: ['bed [room]']}"
    grammar = load(tmp_path, f"intents: {{x: ['{template}']}}\nlists: {lists}")
    expected = {f"[IN:X {tree} ]" for tree in expected}
    assert {trees.to_string(one.tree) for one in grammar.every()} == expected
    for by in grammar_command.BY:
        drawn = grammar_command.expanded(grammar, number=len(expected), by=by)
        assert {trees.to_string(one.tree) for one in drawn} == expected


def random_template(rng: random.Random, depth: int) -> tuple[str, set[str]]:
    """A template and its sentences, found without the parser."""
    text, sentences = "", {""}
    for number in range(rng.randint(1, 3)):
        kind = rng.choice(("word", "choice", "optional")) if depth else "word"
        if kind == "word":
            piece = rng.choice("abc")
            options = {piece}
        else:
            parts = [random_template(rng, depth - 1) for _ in range(rng.randint(1, 2))]
            inner = " | ".join(part for part, _ in parts)
            piece = f"({inner})" if kind == "choice" else f"[{inner}]"
            options = set().union(*(said for _, said in parts))
            options |= {""} if kind == "optional" else set()
        between = rng.choice(("", " ", " ")) if number else ""
        text += between + piece
        sentences = {a + between + b for a in sentences for b in options}
    return text, sentences


@pytest.mark.parametrize("seed", range(30))
def test_all_sentences_are_those_found_by_hand_and_drawing_finds_them(
    tmp_path: Path, seed: int
) -> None:
    template, sentences = random_template(random.Random(seed), 2)
    sentences = {" ".join(one.split()) for one in sentences} - {""}
    grammar = load(tmp_path, f"intents:\n  x:\n  - '{template}'\n")
    assert {one.text for one in grammar_command.expanded(grammar)} == sentences
    if len(sentences) < 40:
        for by in grammar_command.BY:
            drawn = grammar_command.expanded(grammar, number=len(sentences), by=by)
            assert {one.text for one in drawn} <= sentences


def test_the_same_seed_gives_the_same_sentences(tmp_path: Path) -> None:
    grammar = load(tmp_path, OURS)
    draws = [grammar_command.expanded(grammar, number=12, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2] and len(draws[0]) == 12


def test_what_says_how_to_draw_needs_a_number(tmp_path: Path) -> None:
    load(tmp_path, OURS)
    command = ["expand", str(tmp_path / "grammar0.yaml"), "--out", str(tmp_path / "data")]
    for option, value in (("--seed", "2"), ("--by", "intent"), ("--weights", "STOP=2")):
        with pytest.raises(InputError, match=f"{option} needs --number"):
            grammar_command.main([*command, option, value])


def test_what_is_drawn_alike_and_weighted(tmp_path: Path) -> None:
    grammar = load(tmp_path, OURS)

    def share(**how: object) -> float:
        drawn = grammar.draw(random.Random(0), **how)  # type: ignore[arg-type]
        labels = [next(drawn).tree.label for _ in range(2000)]
        return labels.count("IN:STOP") / len(labels)

    assert share() == pytest.approx(1 / 2, abs=0.05)
    assert share(by="sentence") == pytest.approx(5 / 47, abs=0.03)
    assert share(weights={"STOP": 0.0}) == 0.0
    assert share(weights={"STOP": 3.0}) == pytest.approx(3 / 4, abs=0.05)


@pytest.mark.parametrize(
    "text, message",
    [
        ("intents: {x: [(a]}", "not valid YAML|not closed|without its opening"),
        ("intents: {x: ['(a']}", r"intents.x\[0\]: '\(a': a bracket is not closed by '\)'"),
        ("intents: {x: ['a | b)']}", r"'\)' without its opening bracket"),
        ("intents: {x: ['{song}']}", r"the list \{song\} is not there"),
        ("intents: {x: ['<r>']}", r"the rule <r> is not there"),
        ("intents: {x: ['<r>']}\nrules: {r: 'a <r>'}", r"rules.r: the rule <r> contains itself"),
        ("intents: {x: ['{s}']}\nlists: {s: ['{s}']}", "a slot in the value of a slot"),
        ("intents: {x: ['{s}']}\nlists: {s: []}", "the list is empty"),
        ("intents: {x: ['{s}']}\nlists: {s: {wildcard: true}}", "needs values"),
        ("intents: {x: ['{s}']}\nlists: {s: ['?']}", r"intents.x\[0\].*has no words"),
        ("intents: {x: ['{s}{s}']}\nlists: {s: [a]}", "are one word"),
        ("intents: {x: a}", "intents.x: found 'a', expected a list of templates"),
        ("steps: 3", "found the keys steps; expected `intents`"),
        ("intents: {}", "no templates"),
        ("intents: [a\n", "not valid YAML"),
        (
            "slots: {}\nintents: {}\nslots: {a: [b]}",
            "key `slots` stands here again, first in line 1",
        ),
        ("context: {expressions: {x: ['$a:b']}, slots: {}}", "the slot type 'a' has no values"),
        ("context: {expressions: {x: ['@m']}, macros: {m: ['@m']}}", "contains itself"),
    ],
)
def test_a_bad_grammar_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        list(load(tmp_path, text).every())
    assert "grammar0.yaml" in str(error.value)


def test_the_command_writes_a_data_dir_and_loses_none(tmp_path: Path) -> None:
    load(tmp_path, OURS)
    command = ["expand", str(tmp_path / "grammar0.yaml"), "--out", str(tmp_path / "data")]
    grammar_command.main([*command, "--number", "7"])
    before = kaldi_dir.load(tmp_path / "data")
    assert len(before) == 7 and all(one.semantics for one in before)
    wrong = OURS.replace("silver river", "'{song}'")
    (tmp_path / "grammar0.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(InputError):
        grammar_command.main(command)
    assert kaldi_dir.load(tmp_path / "data") == before
