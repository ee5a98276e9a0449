"""Makes a data dir from the words of a recogniser, for the task nlu.

    atat heard --data data/test --decoded exp/asr/decode_test_asr --out exp/asr/heard_test
    atat decode --model exp/nlu/model --data exp/asr/heard_test --task nlu --out ...

`text` comes from the decoded dir, the rest (utt2spk, semantics, utt2group) from the data dir;
there is no audio. If no word was recognised, `text` is `<unk>`, since no utterance may be missing.
`atat pipeline` needs no such data dir: it reads the decoded dir itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.datadir import kaldi_dir, tables
from atat.datadir.kaldi_dir import Utterance
from atat.scoring import decoded_dir as decoded
from atat.scoring.score import check_same_utterances

NOTHING = "<unk>"
GROUPS = "utt2group"


def write_heard(data: Path, decoded_dir: Path, out: Path) -> int:
    """Write the data dir; returns the number of utterances without a recognised word.

    Raises InputError if the two folders do not have the same utterances.
    """
    utterances = {one.id: one for one in kaldi_dir.load(data)}
    heard = decoded.read_transcripts(decoded_dir)
    check_same_utterances(utterances, heard, f"{data / 'utt2spk'}", f"{decoded_dir / 'hyp'}")
    kaldi_dir.write(
        out,
        (
            Utterance(
                id=name, speaker=one.speaker, text=heard[name] or NOTHING, semantics=one.semantics
            )
            for name, one in utterances.items()
        ),
    )
    if (data / GROUPS).exists():
        tables.write_table(out / GROUPS, tables.read_table(data / GROUPS))
    return sum(not text for text in heard.values())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="atat heard",
        description=cli.guide(
            "Make a data dir of the words that a recogniser heard, so that an nlu can read them.",
            "atat heard --data data/test --decoded exp/asr/decode_test_asr --out "
            "exp/asr/heard_test",
            "atat decode --model exp/nlu/model --data exp/asr/heard_test --task nlu --out "
            "exp/decode_heard",
            reads="DECODED, a decoded dir of task asr; the data dir DATA that was decoded.",
            writes="OUT, a data dir whose text is what was heard; utt2spk, semantics and "
            "utt2group are DATA's. There is no audio in it.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir that was decoded")
    parser.add_argument("--decoded", type=Path, required=True, help="decoded dir of task asr")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    options = parser.parse_args(argv)
    nothing = write_heard(options.data, options.decoded, options.out)
    total = len(tables.read_table(options.out / "text"))
    print(f"{options.out}: {total} utterances as heard, nothing heard in {nothing}")
