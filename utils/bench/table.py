"""What a measurement is written down as, and the page made of all of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from atat.base import provenance
from atat.base.files import atomic_write
from atat.scoring.markdown import table_text

PEERS = (
    "torch",
    "torchaudio",
    "espnet",
    "transformers",
    "ctranslate2",
    "kaldiio",
    "kaldi-native-fbank",
    "onnxruntime",
)
INTRO = """# Benchmarks

Made by `utils/bench.sh`, the last two tables by `utils/bench.sh --model NAME=MODEL --data TEST`;
nobody types a number. The models run in processes of their own, the peers' as they come, and take
turns within a round. bf16, measured where there is hardware for it, is autocast; to decode,
Hugging Face has its weights converted instead, and atat, as with `--precision bf16`, its weights
rounded and reordered once. Times are medians over the rounds (five at most, fewer where the
machine is slow), *speed* is the median over the rounds of (time of the first row / time of this
row) within a round. The models have the paper's sizes (12-layer encoder of width 256, 6-layer
decoder, 5,000 tokens, beam 4) and random weights; outputs are forced to the same number of steps.
Times wander with what else the machine does; ratios hardly. Each table is of the commit below it: a
trained model of the same path may be another one in another table, and so may the search.
"""


def circumstances() -> str:
    """Hardware and its instructions, commit, date and the versions of those who compete."""
    facts = provenance.provenance()
    installed = {
        one.metadata["Name"].replace("_", "-"): one.version for one in metadata.distributions()
    }
    versions = ", ".join(f"{name} {installed[name]}" for name in PEERS if name in installed)
    return f"{facts['hardware']}, {facts['date'][:10]}, commit {facts['commit']}; {versions}"


@dataclass(frozen=True)
class Table:
    """A title, what is to be said of it, and lines of cells below a header."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]
    circumstances: str = field(default_factory=circumstances)

    def save(self, path: Path) -> None:
        with atomic_write(path) as stream:
            json.dump(asdict(self), stream, indent=1)

    @classmethod
    def load(cls, path: Path) -> Table:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def text(self) -> str:
        lines = [f"## {self.title}", "", self.note, "", table_text(self.header, self.rows)]
        return "\n".join([*lines, "", f"Measured on: {self.circumstances}.", ""])


def write_page(path: Path, tables: list[Table]) -> None:
    with atomic_write(path) as stream:
        stream.write("\n".join([INTRO, *(table.text() for table in tables)]))


def seconds_text(seconds: float) -> str:
    """Three digits in a fitting unit."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
