"""Laws of the normaliser: idempotent, no digit survives, two writings of one sentence meet."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from atat.text import number_words, trees
from atat.text.normalize import normalize, normalize_tree
from atat.text.trees import Tree, parse, to_string

CASES = {
    "times": {
        "at 9:30 am": "at nine thirty a m",
        "at 9 : 30 am": "at nine thirty a m",
        "9:30AM.": "nine thirty a m",
        "9 : 30am and": "nine thirty a m and",
        "9 a . m .": "nine a m",
        "9.30pm": "nine thirty p m",
        "9 . 30 pm": "nine thirty p m",
        "9 .30 pm": "nine thirty p m",
        "9a-5": "nine a m five",
        "set alarm -9am": "set alarm nine a m",
        "5km-10": "five kilometers ten",
        "-5 km or -1/2 cup": "minus five kilometers or minus one half cup",
        "9:05": "nine oh five",
        "6 : 00 pm": "six p m",
        "at 7:00": "at seven o'clock",
        "at 7:00 o ' clock": "at seven o'clock",
        "18:00": "eighteen hundred",
        "06:05:48": "six oh five forty eight",
        "at 630 am": "at six thirty a m",
        "for 0600 tomorrow": "for oh six hundred tomorrow",
        "5p": "five p m",
        "nine AM": "nine a m",
        "which one am I": "which one am i",
    },
    "money and measures": {
        "$5": "five dollars",
        "$ 1": "one dollar",
        "$5.50": "five dollars and fifty cents",
        "$0.01": "one cent",
        "$2 million": "two million dollars",
        "£1.5k": "one point five thousand pounds",
        "5 €": "five euros",
        "50¢": "fifty cents",
        "100%": "one hundred percent",
        "72° F": "seventy two degrees fahrenheit",
        "60mph": "sixty miles per hour",
        "1 hr 15mins": "one hour fifteen minutes",
        "27minutes": "twenty seven minutes",
        "2.5 miles": "two point five miles",
        ".5 miles": "zero point five miles",
        "$.50": "fifty cents",
        "1,000¢": "one thousand cents",
        "1,000 1/2 miles": "one thousand and a half miles",
        "5km-10": "five kilometers ten",
    },
    "years, dates, ordinals": {
        "1st": "first",
        "the 23RD": "the twenty third",
        "12th 20th": "twelfth twentieth",
        "2019": "twenty nineteen",
        "1905 2000 2005": "nineteen oh five two thousand two thousand five",
        "80s 80's '80s": "eighties eighties eighties",
        "the 90 ' s": "the nineties",
        "1970s": "nineteen seventies",
        "12/5/2032": "december fifth twenty thirty two",
        "may 5 2018, Sept. 1": "may fifth twenty eighteen september first",
        "dec 31st 7 pm": "december thirty first seven p m",
        "june 7pm, june 2019": "june seven p m june twenty nineteen",
        "1234567890123456th": "one two three four five six seven eight nine zero one two three "
        "four five six",
        "13/45/2032": "thirteen forty five twenty thirty two",
    },
    "other numbers": {
        "7-8": "seven to eight",
        "7 - 8 pm": "seven to eight p m",
        "5pm-7:30pm": "five p m to seven thirty p m",
        "$5-$10": "five dollars to ten dollars",
        "5 - day": "five day",
        "I - 95": "i ninety five",
        "(415) 555-1234": "four one five five five five one two three four",
        "1-555-1234": "one five five five one two three four",
        "1-800-555-1234": "one eight zero zero five five five one two three four",
        "version 2.1 555-1234": "version two point one five five five one two three four",
        "+1 (800) 555-1234": "one eight zero zero five five five one two three four",
        "1914-1918": "nineteen fourteen to nineteen eighteen",
        "1,500 people": "one thousand five hundred people",
        "2016,2017": "twenty sixteen twenty seventeen",
        "1000000": "one million",
        "007": "zero zero seven",
        "0": "zero",
        "1" * 5000: " ".join(["one"] * 5000),
        "1/2": "one half",
        "2½ cups": "two and a half cups",
        "4 / 6": "four six",
        "-5": "minus five",
        "#5 no. 6": "number five number six",
        "b52": "b fifty two",
        "٣ ５": "three five",
    },
    "words and signs": {
        "I'D LIKE": "i'd like",
        "I’d like": "i'd like",
        "do n't": "don't",
        "won ' t": "won't",
        "jane 's": "jane's",
        "What ' s up": "what's up",
        "they \\u2019 re, I \\ u 2019 m": "they're i'm",
        "girls' night chillin'": "girls night chillin",
        "rock 'n' roll": "rock n roll",
        "call 'd' now": "call d now",
        "i 'd've gone": "i'd've gone",
        "jane 's 'big' party": "jane's big party",
        "'s alarms": "'s alarms",
        "' s alarms": "'s alarms",
        "R&B": "r and b",
        "U.S.A.": "u s a",
        "amazon.com": "amazon dot com",
        "mr. smith": "mister smith",
        "t-shirt [x] \\ under_score": "t shirt x under score",
        "Café ＦＵＬＬ ﬁne™": "café full fine",
        "zero\u200bwidth soft\u00adhyphen": "zerowidth softhyphen",
        "한국어 हिन्दी": "한국어 हिन्दी",
        " \t\n.?!": "",
        "a\x00b\x7f": "a b",
    },
}  # fmt: skip


@pytest.mark.parametrize("group", CASES)
def test_rules(group: str) -> None:
    assert {text: normalize(text) for text in CASES[group]} == CASES[group]


def test_idempotent_and_free_of_digits_and_signs() -> None:
    rng = random.Random(1)
    parts = [
        *"0123456789",
        *":./-,$%°'#&½ ",
        " ",
        " ",
        "am",
        "pm",
        "s",
        "th",
        "o'clock",
        "n't",
        "t",
        "1234567890123456",
        ",000",
        "'d'",
        "\x01",
    ]
    for _ in range(3000):
        text = "".join(
            rng.choice(parts)
            if rng.random() < 0.9
            else chr(rng.choice([rng.randrange(0x3000), rng.randrange(0x110000), 0x5C]))
            for _ in range(rng.randint(1, 14))
        )
        spoken = normalize(text)
        assert normalize(spoken) == spoken, text
        assert spoken == spoken.lower() == " ".join(spoken.split())
        assert not re.search(r"[\d\x00-\x1f!-&(-/:-@\[-`{-\x7f]", spoken), text


def test_every_whole_number_has_its_own_words() -> None:
    numbers = [*range(2000), 10**4 + 1, 10**6, 10**9 + 10**3, 10**15 - 1]
    assert len({number_words.cardinal(number) for number in numbers}) == len(numbers)
    assert len({number_words.ordinal(number) for number in numbers}) == len(numbers)
    for number in numbers:
        assert set(number_words.cardinal(number).split()) <= number_words.WORDS
    assert number_words.cardinal(1_002_345) == "one million two thousand three hundred forty five"
    assert [number_words.ordinal(n) for n in (3, 8, 9, 12, 40, 100)] == [
        "third", "eighth", "ninth", "twelfth", "fortieth", "one hundredth",
    ]  # fmt: skip


def test_a_tree_is_normalised_within_each_span() -> None:
    tree = parse(
        "[IN:CREATE_ALARM Wake [SL:WHO jane ] 's dog [SL:DATE_TIME at 9 : 30 am , on the 1st ] . ]"
    )
    assert to_string(normalize_tree(tree)) == (
        "[IN:CREATE_ALARM wake [SL:WHO jane ] 's dog "
        "[SL:DATE_TIME at nine thirty a m on the first ] ]"
    )
    # A span of signs only stays as a span; brackets in words are signs, not tags.
    tree = Tree("IN:A", (Tree("SL:B", ("?",)), "[", "x]y", Tree("SL:C", ("$", "5"))))
    assert to_string(normalize_tree(tree)) == "[IN:A [SL:B ] x y [SL:C five dollars ] ]"
    assert normalize_tree(normalize_tree(tree)) == normalize_tree(tree)


def test_raw_and_tokenised_top_meet(data_root: Path) -> None:
    rows = [
        line.split("\t")
        for path in sorted((data_root / "top").glob("*.tsv"))
        for line in path.read_text(encoding="utf-8").splitlines()[:800]
    ]
    assert len(rows) > 2000
    as_raw = as_tree = again = 0
    for raw, tokenised, text in rows:
        expected = normalize(tokenised)
        tree = normalize_tree(parse(text))
        spoken = " ".join(trees.words(tree))
        as_raw += normalize(raw) == expected
        as_tree += spoken == expected
        again += normalize(spoken) == expected
        assert not re.search(r"\d", spoken)
        assert normalize(expected) == expected
        assert normalize_tree(tree) == tree
        # Spans stay as they were; only words change.
        assert [path for path, _ in trees.items(tree)] == [
            path for path, _ in trees.items(parse(text))
        ]
    assert as_raw / len(rows) > 0.995
    # The rest: a clitic of a slot's last word stands outside the slot.
    assert as_tree / len(rows) > 0.97
    assert again / len(rows) > 0.995


def test_snips_sentences_leave_no_sign(data_root: Path) -> None:
    paths = sorted((data_root / "snips_nlu_text").glob("*/validate_*.json"))
    assert paths
    for path in paths:
        for utterances in json.loads(path.read_text(encoding="utf-8")).values():
            for utterance in utterances:
                spoken = normalize("".join(part["text"] for part in utterance["data"]))
                assert spoken and all(letter.isalpha() or letter in " '" for letter in spoken)


def test_transcripts_of_read_speech_only_change_case(data_root: Path) -> None:
    lines = (data_root / "librispeech_text" / "dev-clean.txt").read_text(encoding="utf-8")
    words = [line.split(" ", 1)[1].lower() for line in lines.splitlines()]
    changed = sum(normalize(text) != text for text in words)
    assert changed / len(words) < 0.01
