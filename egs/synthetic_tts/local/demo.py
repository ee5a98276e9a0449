"""A few recordings of test sets, and what a trained model makes of them.

    python local/demo.py --model exp/tiny/books_tts/seed1/model --data data/tiny/test_books

For each it prints what was said, what the model understood of the recording, of the sentence as
text, and (where the model has learned it) the transcript. It shows the public interface,
`atat.Recognizer`, in the few lines a program needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from atat.base import cli
from atat.datadir import kaldi_dir

if TYPE_CHECKING:
    from atat import Recognizer
    from atat.datadir.kaldi_dir import Utterance


def show(recognizer: Recognizer, utterance: Utterance, tasks: tuple[str, ...]) -> None:
    """Print what the model makes of one utterance."""
    print(f"\n{utterance.wav}")
    print(f"  said        {utterance.text}")
    if utterance.semantics:
        print(f"  meant       {utterance.semantics}")
    if "asr" in tasks:
        print(f"  heard       {recognizer(utterance.wav, task='asr').text}")
    print(f"  understood  {recognizer(utterance.wav).text}")
    if "nlu" in tasks:
        print(f"  from text   {recognizer(text=utterance.text).text}")


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="python local/demo.py",
        description="Show what a model makes of some recordings. "
        "Example: python local/demo.py --model exp/tiny/finetune/seed1/model --data data/tiny/test",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data dirs")
    parser.add_argument("--utterances", type=int, default=2, help="recordings of each data dir")
    options = parser.parse_args(argv)
    from atat import Recognizer

    recognizer = Recognizer.load(options.model)
    for folder in options.data:
        utterances = kaldi_dir.load(folder)
        step = max(len(utterances) // options.utterances, 1)
        for utterance in utterances[::step][: options.utterances]:
            show(recognizer, utterance, recognizer.packed.tasks)


if __name__ == "__main__":
    cli.run(main)
