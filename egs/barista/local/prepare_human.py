"""Human speech of other corpora, with its transcripts, for the asr task.

    python local/prepare_human.py --speechocean ~/speechocean762 --librispeech ~/LibriSpeech \\
        --out data

writes `human_train` and `human_dev` (other speakers of the same material); `utt2group` names the
corpus. Both corpora are optional. Of LibriSpeech every subset counts that is found below the
folder, and of speechocean762 the test speakers too: here they are out-of-domain speech, and nothing
of them is tested on. `text` is normalised, `text.raw` is not. What cannot be used is listed in
`human_findings_<corpus>.txt`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import read_speech
from atat.datadir.corpus import Oddities
from atat.datadir.folds import is_dev
from atat.datadir.read_speech import SPEECHOCEAN_PARTS, Recording, librispeech


def speechocean(folder: Path, _: Oddities) -> list[Recording]:
    """All recordings of speechocean762, its test speakers too."""
    return [one for part in SPEECHOCEAN_PARTS for one in read_speech.speechocean(folder, part)]


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_human.py "
        "--speechocean ~/speechocean762 --librispeech ~/LibriSpeech --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--speechocean", type=Path, help="the folder of speechocean762")
    parser.add_argument("--librispeech", type=Path, help="a folder with subsets of LibriSpeech")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--dev_share", type=float, default=0.05, help="share of the speakers kept for the dev set"
    )
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of recordings that may be unusable before it is an error",
    )
    options = parser.parse_args(argv)
    corpora = [
        (folder, read)
        for folder, read in ((options.speechocean, speechocean), (options.librispeech, librispeech))
        if folder
    ]
    if not corpora:
        raise InputError("no corpus given; name one or both: --speechocean DIR --librispeech DIR")
    good = []
    for folder, read in corpora:
        oddities = Oddities()
        kept = read_speech.usable(read(folder, oddities), oddities)
        oddities.close(
            options.out / f"human_findings_{read.__name__}.txt",
            kept=len(kept),
            max_lost=options.max_lost,
            corpus=folder,
        )
        good += kept
    for part in ("train", "dev"):
        chosen = [
            pair for pair in good if is_dev(pair[0].speaker, options.dev_share) == (part == "dev")
        ]
        read_speech.write(options.out / f"human_{part}", chosen)


if __name__ == "__main__":
    cli.run(main)
