"""Word alignments as TextGrids (Praat's format), long and short form, through praatio.

Reads the tiers of the Montreal Forced Aligner and of the LibriSpeech alignments: `words` and
`phones`, or `<speaker> - words` if the file holds one speaker. Knows nothing of audio;
`atat align --backend textgrid` makes a ctm of many files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir.ctm import Word, normalize_words
from atat.text.phones import phone

if TYPE_CHECKING:
    from praatio.data_classes.textgrid import Textgrid

# Labels that aligners use for silence; praatio leaves out empty labels itself.
SILENCES = frozenset({"sil", "sp", "spn", "<eps>", "<sil>", "<p:>"})


def read_textgrid(path: str | Path, tier: str = "words") -> tuple[list[Word], float]:
    """Normalised words of a tier, in order, and the end of the TextGrid in seconds.

    Raises InputError for a file that is not a TextGrid or does not have exactly one such tier.
    """
    intervals, length = _intervals(Path(path), tier, "choose one with --tier")
    words = [one for one in intervals if one.text.lower() not in SILENCES]
    return normalize_words(words), length


def read_phones(path: str | Path, tier: str = "phones") -> tuple[list[Word], float]:
    """The phones of a tier, without stress, in order, and the end of the TextGrid in seconds.

    Where a label is empty there is no phone; silences with a label are phones. Raises InputError
    for a phone outside the set, and as `read_textgrid` does.
    """
    advice = "align with phones, or leave out --phones"
    intervals, length = _intervals(Path(path), tier, advice)
    try:
        return [replace(one, text=phone(one.text)) for one in intervals], length
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _intervals(path: Path, tier: str, advice: str) -> tuple[list[Word], float]:
    """The intervals of a tier that have a label, and the end of the TextGrid in seconds."""
    from praatio.data_classes.interval_tier import IntervalTier

    grid = _open(path)
    chosen = grid.getTier(_find_tier(path, grid, tier, advice))
    if not isinstance(chosen, IntervalTier):
        raise InputError(f"{path}: {chosen.name!r} is a tier of points, not of intervals: {advice}")
    found = [
        Word(label, float(start), float(end) - float(start)) for start, end, label in chosen.entries
    ]
    length = float(grid.maxTimestamp)
    if not all(map(math.isfinite, (length, *(one.start + one.duration for one in found)))):
        raise InputError(f"{path}: holds a time that is no number of seconds; align it again")
    return found, length


def write_textgrid(
    path: str | Path,
    words: Sequence[Word],
    duration: float,
    *,
    tier: str = "words",
    phones: Sequence[Word] | None = None,
    form: Literal["long", "short"] = "long",
) -> None:
    """Write words, and phones if given, as tiers of a TextGrid of `duration` s, times to 0.1 ms.

    Silence becomes empty intervals, as Praat expects. Raises InputError for words that an
    interval tier cannot hold: without length, overlapping, or outside 0..duration.
    """
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid
    from praatio.utilities.errors import PraatioException

    grid = Textgrid(0, round(duration, 4))
    tiers = {tier: words} if phones is None else {tier: words, "phones": phones}
    try:
        for name, listed in tiers.items():
            intervals = [(round(one.start, 4), round(one.end, 4), one.text) for one in listed]
            grid.addTier(
                IntervalTier(name, intervals, 0, round(duration, 4)), reportingMode="error"
            )
    except PraatioException as error:
        message = " ".join(str(error).split())
        raise InputError(f"{path}: a TextGrid cannot hold these words: {message}") from None
    # praatio opens the file itself: it gets the temporary one. Not durable: an alignment writes
    # thousands, and each can be written again from its ctm.
    with atomic_write(path, durable=False) as stream:
        grid.save(
            stream.name,
            format="long_textgrid" if form == "long" else "short_textgrid",
            includeBlankSpaces=True,
            minimumIntervalLength=None,  # keep short words
        )


def fitting(words: Sequence[Word]) -> list[Word]:
    """The words that a tier of intervals can hold: overlaps are cut, what has no length goes."""
    kept: list[Word] = []
    end = 0.0
    for word in words:
        start, stop = max(round(word.start, 4), end), round(word.end, 4)
        if start < stop:
            kept.append(Word(word.text, start, stop - start))
            end = stop
    return kept


def _open(path: Path) -> Textgrid:
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return textgrid.openTextgrid(
            str(path), includeEmptyIntervals=False, reportingMode="silence"
        )
    # praatio does not check its input: a damaged file can raise any of these.
    except (PraatioException, ValueError, IndexError, AttributeError, KeyError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a TextGrid that praatio can read ({message}); open it in Praat and "
            "save it again as a text file"
        ) from None


def _find_tier(path: Path, grid: Textgrid, tier: str, advice: str) -> str:
    names = list(grid.tierNames)
    found = [name for name in names if name.lower() == tier.lower()]
    found = found or [name for name in names if name.lower().endswith(f"- {tier.lower()}")]
    if len(found) != 1:
        what = f"{len(found)} tiers" if found else "no tier"
        have = ", ".join(repr(name) for name in names) or "none"
        raise InputError(f"{path}: {what} called {tier!r}; the tiers are {have}: {advice}")
    return found[0]
