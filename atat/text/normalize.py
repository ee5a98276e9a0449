r"""Text normalisation: one spelling for transcripts, target words and references.

    Wake me at 9 : 30 am, it 's $5  ->  wake me at nine thirty a m it's five dollars

The rules, in the order they run; the rules of numbers are those of American English:

- unicode NFKC, lower case; letters of every script stay, with their accents; `\u2019` as some
  corpora spell characters is read as the character
- dates 12/5/2032 "december fifth twenty thirty two", dec. 5 "december fifth"; telephone
  numbers digit by digit; ranges 7-8 "seven to eight"
- times 9:30 "nine thirty", 9:05 "nine oh five", 9:00 "nine o'clock", 18:00 "eighteen hundred",
  630 am "six thirty a m"; am and pm are two letters, "a m"
- currency $5.50 "five dollars and fifty cents"; percent; degrees; units after a number (mph)
- decades 80s "eighties"; ordinals 1st "first"; fractions of 2, 3 and 4
- other numbers: of four digits from 1100 to 2099 as years are said ("twenty nineteen", "eleven
  thirty": right for years and clock times, passable for amounts), with a leading zero or more
  than six digits digit by digit, all others as cardinals without "and" (630 alone is "six
  hundred thirty": whether it is a time is unknown)
- & + @ = are spoken; every other sign separates words; apostrophes between letters stay, and
  clitics that a corpus has split off are joined again: "do n't", "jane ' s" -> "don't", "jane's"

Knows nothing of files and vocabularies.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby

from atat.text import number_words, trees
from atat.text.trees import Tree

_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}
_MAGNITUDES = {"k": "thousand", "m": "million", "b": "billion"}
_FRACTIONS = {
    ("1", "2"): "one half",
    ("1", "3"): "one third",
    ("2", "3"): "two thirds",
    ("1", "4"): "one quarter",
    ("3", "4"): "three quarters",
}
_UNITS = {
    "mph": ("mile per hour", "miles per hour"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "ft": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
}
_SPOKEN_SIGNS = {"&": "and", "+": "plus", "@": "at", "=": "equals", "%": "percent", "°": "degrees"}

# Characters replaced before all other rules.
_CHARACTERS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\u00b4\u2032`", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | {"\u2044": "/"}  # of ½, after NFKC
    | dict.fromkeys("\u2122\u2120", " ")  # trade marks, which NFKC would make letters
)
_KEPT_SIGNS = frozenset("£€¥¢°")

# Blanks may separate digits and the signs between them, as in TOP's tokens ("9 : 30 am").
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_AMOUNT = rf"{_WHOLE}(?:\.\d+)?"
_MERIDIEM = r"(?:\s?(?P<half>[ap])\s?\.?\s?m\b|(?P<letter>[ap])\b)"
_HOUR_DIGITS = r"(?<![\w:.,])(?P<hour>\d{1,2})"
_CODED = re.compile(r"\\ ?u ?([0-9a-f]{4})", re.IGNORECASE)
_VULGAR = re.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_POINT = re.compile(r"(?<![\w.])(?<!\d )\.(?=\d)")  # that begins a number
_DATE = re.compile(r"(?<![\d/])(\d{1,2})\s?/\s?(\d{1,2})\s?/\s?(\d{4})(?![\d/])")
_PHONE = re.compile(
    r"(?<![\d-])(?:(?<![\d.,-])\+?1(?=[\s(-])\s?-?\s?)?(?:\(?\d{3}\)?\s?-?\s?)?"
    r"\d{3}\s?-\s?\d{4}(?![\d-])"
)
_RANGE = re.compile(
    r"(?<![\w.,:/-])([$£€]?(\d{1,4})(?:\s?:\s?\d\d)?(?:\s?[ap]\s?\.?\s?m\b\.?)?\s?[%°]?)"
    r"\s?-\s?(?=[$£€]?(\d{1,4})(?!\d|\s?-\s?\d))"
)
_CLOCK = re.compile(
    rf"{_HOUR_DIGITS}\s?:\s?(?P<minute>[0-5]\d)(?:\s?:\s?(?P<second>[0-5]\d))?(?!\d)"
    rf"{_MERIDIEM}?(?P<oclock>\s?o\s?'\s?clock)?"
)
_DOTTED_CLOCK = re.compile(rf"{_HOUR_DIGITS}\s?\.\s?(?P<minute>[0-5]\d){_MERIDIEM}")
_COMPACT_CLOCK = re.compile(rf"{_HOUR_DIGITS}(?P<minute>[0-5]\d){_MERIDIEM}")
_MILITARY = re.compile(r"(?<![\w:.,])0(\d)([0-5]\d)(?![\w:])")
_HOUR = re.compile(rf"{_HOUR_DIGITS}{_MERIDIEM}")
_CURRENCY = re.compile(
    rf"([$£€¥])\s?({_AMOUNT})(?:\s?(hundred|thousand|million|billion|trillion)\b|([kmb])\b)?"
)
_CURRENCY_AFTER = re.compile(rf"(?<![\d.,])({_AMOUNT})\s?([$£€¥])")
_CENTS = re.compile(rf"(?<![\d.,])({_AMOUNT})\s?¢")
_DEGREES = re.compile(r"°\s?(c|f)\b")
_MONTH_DAY = re.compile(
    rf"\b({'|'.join(f'{name[:3]}(?:{name[3:]}|t)?' for name in _MONTHS)})\.?"
    r"\s(\d{1,2})(?:st|nd|rd|th)?(?!\w|[.,:/]\d)"
)
_DECADE = re.compile(r"(?<![\w.,])'?\s?((?:[1-9]\d)?\d0)(?:\s?'\s?)?s\b")
_ORDINAL = re.compile(r"(?<![\d.])(\d+(?:,\d{3})*)(?:st|nd|rd|th)\b")
_FRACTION = re.compile(rf"(?<![\d./])(?:(?<!\d,)({_WHOLE})\s)?([1-3])\s?/\s?([234])(?![\d/])")
_UNIT = re.compile(rf"(?<![\d.,])({_AMOUNT})\s?({'|'.join(_UNITS)})\b\.?")
_NUMBER_SIGN = re.compile(r"(?:#|\bno\.)\s?(?=\d)")
_DASH = re.compile(r"(?<=\S)-(?=\d)")
_MINUS = re.compile(r"(?<!\S)-(?=\d)")
_NUMBER = re.compile(_AMOUNT)
_DOT = re.compile(r"(?<=[a-z])\.(?=(?:com|org|net|edu|gov|fm|tv)\b)")
_TITLE = re.compile(r"\b(mr|mrs)\b\.?")
_SIGN = re.compile(f"[{re.escape(''.join(_SPOKEN_SIGNS))}]")
_SEPARATOR = re.compile("[\\x00-\\x1f!-&(-/:-@[-`{-\\x7f£€¥¢°]")  # neither letter nor ' nor blank
_NUMBER_WORD = "|".join(sorted(number_words.WORDS))
# "am" after a number word is the time, but not in "which one am i".
_SPELT_MERIDIEM = re.compile(rf"\b((?:{_NUMBER_WORD}|o'clock|clock) [ap])m\b(?! i\b)|\b(p)m\b")
_CLITIC = re.compile(
    r"(?:(?<=[^\W\d_])(?= ?' ?(?:s|d|re|ve|ll)\b)|(?<=n)(?= ?' ?t\b)"
    r"|(?<=\bi)(?= ?' ?m\b)|(?<=\bo)(?= ?' ?clock\b))(?! ?' ?\w+'(?!\w)) ?' ?"  # not in 'd'
)
_CLITICS = frozenset(["'s", "'d", "'m", "'t", "'re", "'ve", "'ll"])
_NEGATION = re.compile(r"(?<=[^\W\d_]) (?=n't\b)")


def normalize(text: str) -> str:
    """Text as it is spoken: lower-case words with one blank between, no digits, no signs.

    Idempotent: a normalised text stays as it is.
    """
    for _ in range(10):
        spoken = _normalize_once(text)
        if spoken == text:
            return text
        text = spoken
    raise AssertionError(f"the rules of normalize never come to rest on {text!r}")


def normalize_tree(tree: Tree) -> Tree:
    """The tree with every run of words between two tags normalised on its own.

    A number or time within one span is normalised as a whole. Words that a corpus has split over
    two spans stay split: `[SL:OWNER jane ] 's` keeps the word `'s`; the transcript has "jane's".
    """
    tokens: list[str] = []
    for is_tag, run in groupby(
        trees.to_tokens(tree), key=lambda t: trees.is_open(t) or trees.is_close(t)
    ):
        if is_tag:
            tokens += run
        else:
            spoken = normalize(" ".join(map(trees.unescape, run)))
            tokens += map(trees.escape, spoken.split())
    return trees.parse_tokens(tokens)


def _normalize_once(text: str) -> str:
    text = _fold(text)
    if any(map(str.isdigit, text)):
        text = _speak_numbers(text)
    text = _TITLE.sub(lambda m: {"mr": "mister", "mrs": "missus"}[m[1]], text)
    text = _DOT.sub(" dot ", text)
    text = _SIGN.sub(lambda m: f" {_SPOKEN_SIGNS[m[0]]} ", text)
    text = _SEPARATOR.sub(" ", text)
    return _SPELT_MERIDIEM.sub(lambda m: f"{m[1] or m[2]} m", _join_clitics(text))


def _fold(text: str) -> str:
    """Lower-case letters and marks of any script, ASCII digits and signs, and blanks."""
    text = _CODED.sub(lambda m: chr(int(m[1], 16)), text)
    text = text.translate(_CHARACTERS)
    if text.isascii():
        return " ".join(text.lower().split())
    text = _VULGAR.sub(" ", text)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = unicodedata.normalize("NFKC", text).lower()
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    folded: list[str] = []
    for char in text:
        category = unicodedata.category(char)
        if category == "Nd":
            char = str(unicodedata.digit(char))
        elif category[0] == "M":
            # A mark belongs to the letter before it; alone it is not spoken.
            char = char if folded and unicodedata.category(folded[-1])[0] in "LM" else ""
        elif category[0] != "L" and not char.isascii() and char not in _KEPT_SIGNS:
            char = " "
        if char:
            folded.append(char)
    return " ".join("".join(folded).split())


def _join_clitics(text: str) -> str:
    """Clitics joined to their words; any other apostrophe at the edge of a word is removed.

    A text may begin with a clitic: a span of a tree whose word is in the span before.
    """
    text = " ".join(text.replace("''", " ").split())
    if text.startswith("' "):
        text = text.replace("' ", "'", 1)
    first, *rest = _NEGATION.sub("", _CLITIC.sub("'", text)).split() or [""]
    words = [first if first in _CLITICS else first.strip("'")]
    words += (word.strip("'") for word in rest)
    return " ".join(word for word in words if word)


# Numbers


def _speak_numbers(text: str) -> str:
    """Every digit of the text in words."""
    text = _POINT.sub("0.", text)
    for pattern, speak in _NUMBER_RULES:
        text = pattern.sub(lambda match: f" {speak(match)} ", text)
    return text


def _integer(text: str) -> str:
    """A bare whole number; see the module's rules for years and long numbers."""
    if (text[0] == "0" and len(text) > 1) or (len(text) > 6 and not text.endswith("000")):
        return number_words.digits(text)
    if len(text) == 4 and 1100 <= int(text) < 2100:
        return number_words.year(int(text))
    return _spoken(text, number_words.cardinal)


def _spoken(whole: str, speak: Callable[[int], str]) -> str:
    """A whole number in words; digit by digit where it is too long for them."""
    if len(whole) > number_words.DIGITS:
        return number_words.digits(whole)
    return speak(int(whole))


def _amount(text: str) -> str:
    """A number that counts something, never read as a year."""
    whole, _, decimals = text.replace(",", "").partition(".")
    spoken = _spoken(whole, number_words.cardinal)
    return f"{spoken} point {number_words.digits(decimals)}" if decimals else spoken


def _number(match: re.Match[str]) -> str:
    plain = match[0].isdigit()
    return _integer(match[0]) if plain else _amount(match[0])


def _date(match: re.Match[str]) -> str:
    month, day, year = (int(part) for part in match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1000):
        return match[0].replace("/", " ")
    return f"{_MONTHS[month - 1]} {number_words.ordinal(day)} {number_words.year(year)}"


def _month_day(match: re.Match[str]) -> str:
    month = next(name for name in _MONTHS if name.startswith(match[1][:3]))
    return f"{month} {number_words.ordinal(int(match[2]))}"


def _phone(match: re.Match[str]) -> str:
    return number_words.digits(re.sub(r"\D", "", match[0]))


def _clock(match: re.Match[str]) -> str:
    """A time of day from the matched hour, minute, second, am or pm, and o'clock."""
    found = match.groupdict()
    hour, minute = int(found["hour"]), int(found.get("minute") or 0)
    second, half = found.get("second"), found["half"] or found["letter"]
    spoken = [number_words.cardinal(hour)]
    if minute or second:
        spoken.append(number_words.pair(minute))
    elif not half:
        spoken.append("o'clock" if 1 <= hour <= 12 else "hundred")
    if second:
        spoken.append(number_words.pair(int(second)))
    return " ".join([*spoken, f"{half} m"] if half else spoken)


def _military(match: re.Match[str]) -> str:
    minute = int(match[2])
    return f"oh {number_words.cardinal(int(match[1]))} " + (
        number_words.pair(minute) if minute else "hundred"
    )


def _currency(match: re.Match[str]) -> str:
    one, many, cent, cents = _CURRENCIES[match[1]]
    magnitude = match[3] or _MAGNITUDES.get(match[4], "")
    whole, _, decimals = match[2].partition(".")
    if magnitude:
        return f"{_amount(match[2])} {magnitude} {many}"
    if len(decimals) != 2:
        return f"{_amount(match[2])} {one if match[2] == '1' else many}"
    parts = []
    if whole.strip("0,"):
        parts.append(f"{_amount(whole)} {one if whole == '1' else many}")
    if decimals != "00" or not parts:
        parts.append(f"{_amount(decimals)} {cent if decimals == '01' else cents}")
    return " and ".join(parts)


def _currency_after(match: re.Match[str]) -> str:
    one, many, _, _ = _CURRENCIES[match[2]]
    return f"{_amount(match[1])} {one if match[1] == '1' else many}"


def _fraction(match: re.Match[str]) -> str:
    spoken = _FRACTIONS.get((match[2], match[3]))
    if spoken is None:
        return match[0].replace("/", " ")
    if match[1] is None:
        return spoken
    return f"{_amount(match[1])} and {re.sub('^one ', 'a ', spoken)}"


def _unit(match: re.Match[str]) -> str:
    return f"{_amount(match[1])} {_UNITS[match[2]][match[1] != '1']}"


# Longer patterns first, so that no pattern matches a part of another's text.
_NUMBER_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_DATE, _date),
    (_PHONE, _phone),
    (_RANGE, lambda m: f"{m[1]} to"),
    (_DASH, lambda m: ""),  # later rules put blanks before it, as before a minus
    (_CLOCK, _clock),
    (_DOTTED_CLOCK, _clock),
    (_COMPACT_CLOCK, _clock),
    (_MILITARY, _military),
    (_HOUR, _clock),
    (_CURRENCY, _currency),
    (_CURRENCY_AFTER, _currency_after),
    (_CENTS, lambda m: f"{_amount(m[1])} {'cent' if m[1] == '1' else 'cents'}"),
    (_DEGREES, lambda m: f"degrees {'celsius' if m[1] == 'c' else 'fahrenheit'}"),
    (_MONTH_DAY, _month_day),
    (_MINUS, lambda m: "minus"),
    (_DECADE, lambda m: number_words.decade(int(m[1]))),
    (_ORDINAL, lambda m: _spoken(m[1].replace(",", ""), number_words.ordinal)),
    (_FRACTION, _fraction),
    (_UNIT, _unit),
    (_NUMBER_SIGN, lambda m: "number"),
    (_NUMBER, _number),
)
