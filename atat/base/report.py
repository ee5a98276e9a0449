"""A report of what is wrong in files: findings with file and line, grouped by kind and counted.

Knows nothing of what is checked; the checks of data dirs fill a `Report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

KEPT = 20  # findings of one kind that a report keeps; the others are counted
SHOWN = 3  # findings of one kind that are printed: a corpus may have thousands


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a file: where, what kind, what was found and expected, how to fix it."""

    path: str
    line: int  # 0 = the file as a whole
    kind: str
    message: str
    is_error: bool = True

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}"


@dataclass
class Report:
    """Oddities by kind; of each kind the first few are kept and all are counted.

    `lost` names what must be dropped to remove the errors, and why (the kind of the first
    finding about it), `why` in the words of that finding; the `about` of a finding says it. A
    person must fix errors without `about`.
    """

    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    kept: dict[tuple[str, bool], list[Finding]] = field(default_factory=dict)
    lost: dict[Hashable, str] = field(default_factory=dict)
    why: dict[Hashable, str] = field(default_factory=dict)

    def add(self, finding: Finding, about: Hashable | None = None) -> None:
        """Count a finding; what an error is `about` is added to `lost`."""
        (self.errors if finding.is_error else self.warnings)[finding.kind] += 1
        kept = self.kept.setdefault((finding.kind, finding.is_error), [])
        if len(kept) < KEPT:
            kept.append(finding)
        if finding.is_error and about is not None:
            self.lose(about, finding)

    def lose(self, about: Hashable, finding: Finding) -> None:
        """Add to `lost` what a finding is about, unless an earlier one was."""
        self.lost.setdefault(about, finding.kind)
        self.why.setdefault(about, finding.message)

    def __str__(self) -> str:
        """The first findings of each kind below its name and count, errors first."""
        lines = []
        for is_error, counts in ((True, self.errors), (False, self.warnings)):
            for kind, count in counts.items():
                shown = self.kept[kind, is_error][:SHOWN]
                lines.append(f"{'error' if is_error else 'warning'}: {kind} ({count})")
                lines += [f"  {finding}" for finding in shown]
                if count > len(shown):
                    lines.append(f"  and {count - len(shown)} more")
        return "\n".join(lines)
