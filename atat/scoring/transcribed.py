"""Makes a data dir from the words of a recogniser, for the task nlu or the task asr.

    atat heard --data data/test --decoded exp/asr/decode_test_asr --out exp/asr/heard_test
    atat decode exp/nlu/model --data exp/asr/heard_test --task nlu --out ...
    atat heard --task asr --data data/new --decoded exp/moonshine/decode_new --out data/new_heard

For nlu, `text` comes from the decoded dir, the rest (utt2spk, semantics, utt2group) from the data
dir; there is no audio. If no word was recognised, `text` is `<unk>`, since no utterance may be
missing.
`atat pipeline` needs no such data dir: it reads the decoded dir itself. For asr, recordings without
transcripts become data to learn from (`atat.scoring.pseudo_transcripts`).
"""

from __future__ import annotations

from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import files, kaldi_dir, licence, tables
from atat.datadir.kaldi_dir import Utterance
from atat.scoring import decoded_dir as decoded
from atat.scoring import pseudo_transcripts
from atat.scoring.score import check_same_utterances

NOTHING = "<unk>"
GROUPS = "utt2group"


def write_heard(data: Path, decoded_dir: Path, out: Path) -> int:
    """Write the data dir; returns the number of utterances without a recognised word.

    Raises InputError if the two folders do not have the same utterances, and if `out` is the data
    dir that was decoded, which would lose its recordings.
    """
    if data.resolve() == out.resolve():
        raise InputError(f"{out}: is the data dir that was decoded; choose another --out")
    utterances = {one.id: one for one in kaldi_dir.load(data)}
    heard = decoded.read_transcripts(decoded_dir)
    check_same_utterances(utterances, heard, f"{data / 'utt2spk'}", f"{decoded_dir / 'hyp'}")
    (out / pseudo_transcripts.ABOUT).unlink(missing_ok=True)
    files.write_anew(
        out,
        (
            Utterance(
                id=name, speaker=one.speaker, text=heard[name] or NOTHING, semantics=one.semantics
            )
            for name, one in utterances.items()
        ),
        {GROUPS: tables.read_table(data / GROUPS)} if (data / GROUPS).exists() else {},
        licence.of(data),
    )
    return sum(not text for text in heard.values())


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat heard",
        description=cli.guide(
            "Make a data dir of the words that a recogniser heard. For --task nlu, so that an nlu "
            "can read them: no utterance is missing, <unk> stands where nothing was heard. For "
            "--task asr, so that a model can learn from recordings without transcripts: the "
            "recogniser's words are their text. Utterances are left out, counted and listed if "
            "it has no words, if a limit on the length ended it, and if its confidence is below "
            "--min_confidence. What a good least confidence is depends on the engine: sort "
            "utt2conf and listen where it becomes wrong.",
            "atat heard --data data/test --decoded exp/asr/decode_test_asr --out "
            "exp/asr/heard_test",
            "atat decode exp/nlu/model --data exp/asr/heard_test --task nlu --out exp/decode_heard",
            "atat transcribe --engine moonshine --data data/new --out exp/moonshine/decode_new",
            "atat heard --task asr --data data/new --decoded exp/moonshine/decode_new "
            "--min_confidence -0.2 --out data/new_heard",
            reads="DECODED, a decoded dir of task asr with its utt2conf and ctm, if it has them; "
            "the data dir DATA that was decoded (for asr, wav.scp and utt2spk are enough).",
            writes="OUT, a data dir whose text is what was heard. For nlu, utt2spk, semantics and "
            "utt2group are DATA's, and there is no audio in it. For asr, all tables are DATA's but "
            "text, utt2conf and ctm (where its times fit the text and the audio); what belonged "
            "to another text (semantics, text.raw) is not written, and text.json says which "
            "recogniser wrote the text and which utterances were left out.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir that was decoded")
    parser.add_argument("--decoded", type=Path, required=True, help="decoded dir of task asr")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument(
        "--task", choices=("nlu", "asr"), default="nlu", help="the task that OUT is for"
    )
    parser.add_argument(
        "--min_confidence",
        type=float,
        help="for asr: leave out utterances whose utt2conf is smaller; confidences are mean log "
        "probabilities, 0 or less",
    )
    options = parser.parse_args(argv)
    if options.task == "asr":
        kept = pseudo_transcripts.write(
            options.data, options.decoded, options.out, options.min_confidence
        )
        print(f"{options.out}: {kept}")
        return
    if options.min_confidence is not None:
        raise InputError("--min_confidence is for --task asr; for nlu no utterance may be missing")
    nothing = write_heard(options.data, options.decoded, options.out)
    total = len(tables.read_table(options.out / "text"))
    print(f"{options.out}: {total} utterances as heard, nothing heard in {nothing}")
