"""A published corpus on a user's disk: its folder, and what is odd in it.

    folder = corpus.root(options.corpus, ["data/train_data.csv"], name="…", source="https://…")
    oddities = Oddities()
    oddities.add("recording that is missing (left out)", "a.wav", lost=True)
    oddities.close(out / "findings.txt", kept=100, max_lost=0.01, corpus=folder)

For the `local/` programs of recipes. Knows no corpus and nothing of data dirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import atomic_write


@dataclass
class Oddities:
    """Oddities of a corpus by kind, in the order found; `lost` counts what was left out."""

    items: list[tuple[str, str]] = field(default_factory=list)
    lost: int = 0

    def add(self, kind: str, what: str, *, lost: bool = False) -> None:
        """Note one oddity; with `lost`, it costs a recording."""
        self.items.append((kind, what))
        self.lost += lost

    def counts(self) -> dict[str, int]:
        """How often each kind was found."""
        return dict(Counter(kind for kind, _ in self.items))

    def close(
        self,
        path: Path,
        *,
        kept: int,
        max_lost: float,
        corpus: Path,
        noun: str = "recordings",
        advice: str = "Is the download whole?",
    ) -> None:
        """List everything in `path`, print the counts; `kept` recordings (`noun`) are left.

        Raises InputError, which ends in `advice`, when more than the share `max_lost` of the
        recordings is lost.
        """
        counts = [f"{number:6d}  {kind}" for kind, number in self.counts().items()]
        with atomic_write(path) as stream:
            listed = [f"{kind}: {what}" for kind, what in self.items]
            stream.writelines(f"{line}\n" for line in (*counts, "", *listed))
        for line in counts:
            print(line)
        total = kept + self.lost
        if self.lost > max_lost * total:
            raise InputError(
                f"{corpus}: {self.lost} of {total} {noun} must be left out, more than "
                f"--max_lost {max_lost:g}; they are listed in {path}. {advice}"
            )


def root(
    folder: str | Path, marks: Sequence[str], *, name: str, source: str, option: str = "--corpus"
) -> Path:
    """Check that `folder`, given by `option`, is a corpus' root: it holds all `marks` (paths).

    Raises InputError that names the right folder if it is a level or two away, else what was
    expected, what was found, and the `source` of the corpus.
    """
    folder = Path(folder)
    if _is_root(folder, marks):
        return folder.resolve()
    expected = f"expected {name}: a folder that holds {', '.join(marks)}"
    for candidate in list(folder.resolve().parents)[:3]:
        if _is_root(candidate, marks):
            raise InputError(f"{folder}: {expected}. That is some levels up: {option} {candidate}")
    for pattern in ("*", "*/*"):
        below = [path for path in sorted(folder.glob(pattern)) if _is_root(path, marks)]
        if below:
            raise InputError(f"{folder}: {expected}. That is further down: {option} {below[0]}")
    raise InputError(f"{folder}: {expected}; found {contents(folder)}. Get it from {source}")


def contents(folder: Path) -> str:
    """The contents of a folder, in a few words for a message."""
    if not folder.exists():
        return "no such folder"
    if not folder.is_dir():
        return "a file"
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")


def _is_root(folder: Path, marks: Sequence[str]) -> bool:
    return folder.is_dir() and all((folder / mark).exists() for mark in marks)
