"""How a figure with its interval and a p value are written, in print and in tables."""

from __future__ import annotations

from atat.scoring.bootstrap import Comparison, Interval


def format_interval(interval: Interval) -> str:
    """A figure as in the tables: "83.45 [80.12, 86.40]", or "n/a"."""
    if interval.value is None:
        return "n/a"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def p_value_text(found: Comparison) -> str:
    """ "p = 0.004", "p < 0.001" or "p undefined", with the number of draws if not all were used."""
    if found.p_value is None:
        text = "p undefined"
    else:
        text = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    if found.draws < found.replicates:
        text += f" (defined in {found.draws:,} of {found.replicates:,} draws)"
    return text
