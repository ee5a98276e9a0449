"""Numbers as they are spoken in American English: cardinals, ordinals, years, decades, digits.

Words are separated by blanks, without hyphens and without "and". Knows nothing of how numbers
are written in text (`atat.text.normalize` finds them).
"""

from __future__ import annotations

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
DIGITS = 15  # at most, of numbers that have words
LIMIT = 10**DIGITS

WORDS = frozenset([*_SMALL, *_TENS[2:], "hundred", *(name for _, name in _SCALES)])


def cardinal(number: int) -> str:
    """105 -> "one hundred five"; for 0 <= number < LIMIT."""
    assert 0 <= number < LIMIT
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _join(_TENS[number // 10], number % 10)
    if number < 1000:
        return _join(f"{_SMALL[number // 100]} hundred", number % 100)
    size, name = next(scale for scale in _SCALES if scale[0] <= number)
    return _join(f"{cardinal(number // size)} {name}", number % size)


def _join(head: str, rest: int) -> str:
    return f"{head} {cardinal(rest)}" if rest else head


def ordinal(number: int) -> str:
    """21 -> "twenty first"; for 0 <= number < LIMIT."""
    *head, last = cardinal(number).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*head, last])


def year(number: int) -> str:
    """1905 -> "nineteen oh five", 2005 -> "two thousand five"; for 1000 <= number < 10000."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    return f"{cardinal(century)} {pair(rest) if rest else 'hundred'}"


def pair(number: int) -> str:
    """The second half of a time or year: 5 -> "oh five", 30 -> "thirty"; for 0 <= number < 100."""
    if number >= 10:
        return cardinal(number)
    return f"oh {_SMALL[number]}" if number else "oh oh"


def decade(number: int) -> str:
    """80 -> "eighties", 1980 -> "nineteen eighties", 0 -> "two thousands"; multiples of ten."""
    spoken = year(number) if number >= 1000 else cardinal(number or 2000)
    return f"{spoken[:-1]}ies" if spoken.endswith("y") else f"{spoken}s"


def digits(text: str) -> str:
    """Digit by digit: "007" -> "zero zero seven"."""
    return " ".join(_SMALL[int(digit)] for digit in text)
