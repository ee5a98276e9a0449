"""Word alignments as TextGrids (Praat's format), long and short form, through praatio.

Reads the word tier of the Montreal Forced Aligner and of the LibriSpeech alignments: a tier
called `words`, or `<speaker> - words` if the file holds one speaker. Knows nothing of audio;
`atat align --backend textgrid` makes a ctm of many files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir.ctm import Word, normalize_words

if TYPE_CHECKING:
    from praatio.data_classes.textgrid import Textgrid

# Labels that aligners use for silence; praatio leaves out empty labels itself.
SILENCES = frozenset({"sil", "sp", "spn", "<eps>", "<sil>", "<p:>"})


def read_textgrid(path: str | Path, tier: str = "words") -> tuple[list[Word], float]:
    """Normalised words of a tier, in order, and the end of the TextGrid in seconds.

    Raises InputError for a file that is not a TextGrid or does not have exactly one such tier.
    """
    grid = _open(Path(path))
    intervals = grid.getTier(_find_tier(Path(path), grid, tier)).entries
    words = [
        Word(label, float(start), float(end) - float(start))
        for start, end, label in intervals
        if label.lower() not in SILENCES
    ]
    return normalize_words(words), float(grid.maxTimestamp)


def write_textgrid(
    path: str | Path,
    words: Sequence[Word],
    duration: float,
    *,
    tier: str = "words",
    form: Literal["long", "short"] = "long",
) -> None:
    """Write words as the one tier of a TextGrid of `duration` seconds, times to 0.1 ms.

    Silence becomes empty intervals, as Praat expects. Raises InputError for words that an
    interval tier cannot hold: without length, overlapping, or outside 0..duration.
    """
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid
    from praatio.utilities.errors import PraatioException

    grid = Textgrid(0, round(duration, 4))
    intervals = [(round(word.start, 4), round(word.end, 4), word.text) for word in words]
    try:
        grid.addTier(IntervalTier(tier, intervals, 0, round(duration, 4)), reportingMode="error")
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


def _open(path: Path) -> Textgrid:
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    # praatio does not check its input: a damaged file can raise any of these.
    except (PraatioException, ValueError, IndexError, AttributeError, KeyError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a TextGrid that praatio can read ({message}); open it in Praat and "
            "save it again as a text file"
        ) from None


def _find_tier(path: Path, grid: Textgrid, tier: str) -> str:
    names = list(grid.tierNames)
    found = [name for name in names if name.lower() == tier.lower()]
    found = found or [name for name in names if name.lower().endswith(f"- {tier.lower()}")]
    if len(found) != 1:
        what = f"{len(found)} tiers" if found else "no tier"
        have = ", ".join(repr(name) for name in names) or "none"
        raise InputError(
            f"{path}: {what} called {tier!r}; the tiers are {have}: choose one with --tier"
        )
    return found[0]
