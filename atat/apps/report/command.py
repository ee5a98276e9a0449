"""The command `atat report`: one page of pictures about experiments.

    atat report exp/joint                     # exp/joint/report.html
    atat report exp --details 3               # a whole recipe
    atat report exp/a exp/b --out ab.html

Knows nothing of what is on the page: `page` does.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from atat.apps.report import experiment
from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write

NAME = "report.html"


def main(argv: list[str] | None = None) -> None:
    options = _parser().parse_args(argv)
    for name in ("details", "worst", "attention"):
        if getattr(options, name) < 0:
            raise InputError(f"--{name} is {getattr(options, name)}; expected 0 or more")
    folders: list[Path] = list(dict.fromkeys(options.folders))
    if options.out is None and len(folders) > 1:
        raise InputError(
            f"{len(folders)} folders have no common place for a page: name it with --out"
        )
    out: Path = options.out or folders[0] / NAME
    found = experiment.look(folders)
    # Imported here, so that mistakes are answered before matplotlib is loaded.
    from atat.apps.report import page
    from atat.apps.report.drawing import drawing

    wanted = page.Wanted(options.details, options.worst, options.attention)
    with drawing(options.pictures) as draw:
        sections = page.sections(draw, found, wanted)
    title = options.title or " and ".join(_title(folder) for folder in folders)
    text = page.html(found, sections, title)
    with atomic_write(out) as stream:
        stream.write(text)
    trained = sum(len(one.trainings) for one in found.experiments)
    print(
        f"{out}: {trained} trainings, {len(found.decodings)} decodings, "
        f"{len(draw.names)} pictures, {os.path.getsize(out) / 1e6:.1f} MB"
    )


def _title(folder: Path) -> str:
    """The last parts of a path: the recipe and its experiments."""
    return "/".join(folder.absolute().parts[-2:])


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat report",
        description=cli.guide(
            "Write one page about experiments, to be looked at in a browser: systems compared with "
            "intervals, curves of training, confusions of intents and slots, slots found by their "
            "frequency in training, attention over spectrograms, the worst utterances with their "
            "sound, statistics of the data. The page is one file that needs no network. What is "
            "missing (sound, events of TensorBoard, a data dir, a model) is left out, with a "
            "sentence that says so. The page has the sound of utterances in it: think of whose "
            "voices they are before you publish it.",
            "atat report exp/joint",
            "atat report exp --details 3 --pictures exp/pictures",
            "atat report exp/a exp/b --out comparison.html",
            reads="EXP, folders of trainings or above such: config.yaml, train.json, train.log and "
            "tensorboard/ of trainings, their models, decoded dirs with what `atat score` wrote, "
            "results*.yaml (for names of rows); the data dirs that they name, from the folder of "
            "the recipe or from anywhere.",
            writes="OUT, a page; and PICTURES, a PNG of each figure.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("folders", metavar="EXP", type=Path, nargs="+", help="experiments")
    parser.add_argument("--out", type=Path, help=f"page to write (default: EXP/{NAME})")
    parser.add_argument("--title", help="title of the page (default: the names of the folders)")
    parser.add_argument(
        "--details", type=int, default=1, help="decodings of each experiment shown in detail"
    )
    parser.add_argument("--worst", type=int, default=5, help="worst utterances of each of these")
    parser.add_argument("--attention", type=int, default=2, help="pictures of attention of each")
    parser.add_argument("--pictures", type=Path, help="folder for a PNG of each figure")
    return parser
