"""Google's published transcripts of the recordings, as the decoding of a data dir.

    python local/google_transcripts.py --corpus ~/fluent_speech_commands_dataset \\
        --data data/test --out exp/google/decode_test

`gcloud_transcription.csv` (columns `audio path` and `predicted_words`) is published by Arora et
al., "Rethinking End-to-End Evaluation of Decomposable Tasks" (Interspeech 2021), for all 30,043
recordings; put it into the corpus. An utterance is found by its id, which is made of the speaker
and the name of the recording; where Google heard nothing, its transcript is empty.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fluent

from atat.base import cli
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir import tables
from atat.scoring import decoded_dir
from atat.text.normalize import normalize

FILE = "gcloud_transcription.csv"
SOURCE = f"https://github.com/maseEval/mase ({FILE})"
COLUMNS = ("audio path", "predicted_words")


def find(folder: Path) -> Path:
    """The file in the corpus or in its data/; InputError that says where to get it."""
    for place in (folder / FILE, folder / "data" / FILE):
        if place.is_file():
            return place
    raise InputError(f"{folder / FILE}: no such file; get it from {SOURCE}")


def read(path: Path) -> dict[str, str]:
    """Utterance -> words as Google wrote them; InputError for other columns."""
    return {fluent.utterance_id(file): words for _, (file, words) in fluent.cells(path, COLUMNS)}


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/google_transcripts.py "
        "--corpus ~/fluent_speech_commands_dataset --data data/test --out exp/google/decode_test",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help=f"folder that holds {FILE}")
    parser.add_argument("--data", type=Path, required=True, help="data dir with utt2spk")
    parser.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    options = parser.parse_args(argv)
    path = find(options.corpus)
    written = read(path)
    utterances = tables.read_table(options.data / "utt2spk")
    missing = [name for name in utterances if name not in written]
    if missing:
        raise InputError(
            f"{path}: no transcript of {len(missing)} of {len(utterances)} utterances of "
            f"{options.data}, such as {missing[0]}; get the file from {SOURCE}"
        )
    heard = {name: normalize(written[name]) for name in utterances}
    nbest = {
        name: [{"text": text, "score": None, "length": len(text.split())}]
        for name, text in heard.items()
    }
    about = {
        "task": "asr",
        "data": str(options.data),
        "engine": "google",
        "model": f"as published in {path.name}",
        "utterances": len(heard),
        "at_limit": 0,
        "provenance": provenance(),
    }
    decoded_dir.write(options.out, nbest, about)
    spoken = sum(map(bool, heard.values()))
    print(f"{options.out}: transcripts of {len(heard)} recordings, words in {spoken}")


if __name__ == "__main__":
    cli.run(main)
