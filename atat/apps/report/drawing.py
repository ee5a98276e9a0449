"""Figures by matplotlib, as SVG inside a page that is light or dark, and as PNG files.

    with drawing() as draw:
        figure, axes = draw.axes(width=6, height=3)
        axes.plot(...)
        picture = draw.finish(figure, "curves", "What it shows", "What to see in it")

The colours are those of a light page. In SVG each is replaced by a variable of the page's style
(`VARIABLES`), which has another value on a dark one. Text stays text: it can be found and read
aloud. Titles and labels may hold anything that a corpus may hold: they are never read as formulas,
and the SVG writer escapes them. Knows nothing of experiments.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atat.base.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1c2127", "#59626d", "#d6dae0", "#fefefe"
# Okabe and Ito's colours, which colour-blind people tell apart; the light ones of them darkened, so
# that thin lines and small text are read on white.
SERIES = ("#0072b2", "#d05a00", "#00805c", "#b0508a", "#8a6d00", "#2a8fc7", "#5d5f63")
FOUND, MISSED = SERIES[0], SERIES[1]
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
SHADE = (0.16, 0.53, 0.80)  # of matrices, seen through: on white and on black
# Colour -> variable of the page, its value on a light page and on a dark one.
VARIABLES: dict[str, tuple[str, str]] = {
    INK: ("--ink", "#e6e9ed"),
    MUTED: ("--muted", "#a3acb7"),
    GRID: ("--grid", "#39404a"),
    PAPER: ("--card", "#1b2027"),
    SERIES[0]: ("--s0", "#5ab4ea"),
    SERIES[1]: ("--s1", "#f4914a"),
    SERIES[2]: ("--s2", "#35c79d"),
    SERIES[3]: ("--s3", "#e39cc8"),
    SERIES[4]: ("--s4", "#e6c24d"),
    SERIES[5]: ("--s5", "#9ad6f6"),
    SERIES[6]: ("--s6", "#c4c9d0"),
}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
PNG_DPI = 110
LONGEST = 44  # characters of a label
STYLE: Any = {  # matplotlib names each key in its type
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "patch.linewidth": 0,
}


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in the page."""

    name: str  # of its PNG file
    svg: str
    label: str  # for people who do not see it
    caption: str
    width: int  # pixels of the page at which its text has the size of the page's


@dataclass
class Draw:
    """Makes figures in one style; `folder` gets a PNG of each, if it is given."""

    folder: Path | None = None
    names: set[str] = field(default_factory=set)

    def axes(self, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
        """An empty figure (inches) and its axes; options: those of `Figure.subplots`."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(**options)

    def finish(self, figure: Figure, name: str, label: str, caption: str) -> Picture:
        """The figure as a picture of the page."""
        name = self._unused(re.sub(r"[^A-Za-z0-9.=-]+", "_", name).strip("._") or "figure")
        with warnings.catch_warnings():
            # Scripts that matplotlib's own font lacks; the browser has others.
            warnings.filterwarnings("ignore", message="Glyph")
            if self.folder is not None:
                # Readers of a README see it on white or on black: it brings its own paper.
                with atomic_write(self.folder / f"{name}.png", "wb", durable=False) as stream:
                    figure.savefig(stream, format="png", dpi=PNG_DPI, facecolor=PAPER)
            svg = io.StringIO()
            figure.savefig(svg, format="svg", metadata=dict.fromkeys(_METADATA))
        width = round(figure.get_size_inches()[0] * 96)
        return Picture(
            name, _for_page(svg.getvalue(), f"f{len(self.names)}"), label, caption, width
        )

    def _unused(self, name: str) -> str:
        unused, number = name, 1
        while unused in self.names:
            number += 1
            unused = f"{name}.{number}"
        self.names.add(unused)
        return unused


@contextmanager
def drawing(folder: Path | None = None) -> Iterator[Draw]:
    """Matplotlib in the style of the page while the block lasts."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield Draw(folder)


def shade(weights: np.ndarray, strongest: float = 0.9) -> np.ndarray:
    """(R, C) values of 0 to 1 -> RGBA (R, C, 4): one colour, the less transparent the larger."""
    image = np.empty((*weights.shape, 4))
    image[..., :3], image[..., 3] = SHADE, strongest * np.clip(weights, 0, 1)
    return image


def matrix(axes: Axes, counts: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """A table of counts (R, C), each cell shaded by its share of the row and with its number."""
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shade(np.sqrt(counts / totals), 0.75), interpolation="none", aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, f"{count:,}", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(columns)), [short(name) for name in columns], rotation=90)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    axes.tick_params(length=0)
    axes.grid(False)
    for edge in np.arange(len(columns) + 1) - 0.5:
        axes.axvline(edge, color=GRID, linewidth=0.6)
    for edge in np.arange(len(rows) + 1) - 0.5:
        axes.axhline(edge, color=GRID, linewidth=0.6)
    axes.spines[:].set_visible(False)


def short(text: str, longest: int = LONGEST) -> str:
    """A label that is not too long, its middle left out."""
    text = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"


def legend_below(axes: Axes, columns: int = 2) -> None:
    """The legend under the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.figure.legend(handles, labels, loc="outside lower left", ncols=columns)


_METADATA = ("Creator", "Date", "Format", "Type")
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"'DejaVu Sans'(, [^;\"]*)?(?=[;\"])")


def _for_page(svg: str, prefix: str) -> str:
    """SVG for the middle of a page: ids of its own, the page's colours and font, any width."""
    svg = svg[svg.index("<svg") :]
    # matplotlib's own style would be one for the whole page.
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', svg)
    svg = _COLOUR.sub(_variable, svg)
    svg = _FAMILY.sub(FONTS, svg)
    head, _, rest = svg.partition(">")
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} aria-hidden="true" focusable="false">{rest}'


def _variable(match: re.Match[str]) -> str:
    return f"var({VARIABLES[match[0]][0]})" if match[0] in VARIABLES else match[0]
