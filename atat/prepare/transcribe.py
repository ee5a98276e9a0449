"""Transcripts of a data dir by a recogniser: pocketsphinx, Moonshine, or a model of our own.

    atat transcribe --engine pocketsphinx --data data/test --lm_text data/train \\
        --out exp/pocketsphinx/decode_test_asr
    atat transcribe --engine moonshine --data data/test --out exp/moonshine/decode_test_asr
    atat transcribe --engine joint --model exp/joint/model --data data/unlabelled \\
        --out exp/joint/decode_unlabelled_asr

writes a decoded dir, which `atat score` scores and `atat heard` turns into a data dir. The acoustic
model of pocketsphinx was trained on real speech (US English). Its language model is a trigram model
of the sentences of `--lm_text` or, without it, the one of general US English in its wheel; words of
`--lm_text` that its dictionary lacks are pronounced by espeak-ng. Moonshine (English) needs no such
text; what it writes is normalised. `joint` is a packed model with the task asr. After an interrupt
each continues where it stopped.

| engine | times of words (`ctm`) | confidence (`utt2conf`) |
|---|---|---|
| pocketsphinx | its own | mean log posterior of the words, in its lattice |
| moonshine | none | mean log probability of its tokens |
| joint | of the CTC head, by forced alignment, if there is one | log probability / tokens |
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from atat.base import cli, lock
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.provenance import provenance
from atat.datadir import contents, kaldi_dir, tables
from atat.datadir.lost import report as report_lost
from atat.engine import named_model
from atat.prepare import hearing, sphinx
from atat.prepare.hearing import Recognized
from atat.scoring import decoded_dir

JOURNAL = "journal.jsonl"


def write_language_model(sentences: Iterable[str], path: Path) -> None:
    """Estimate a trigram model with pocketsphinx' own tool and write it in ARPA format."""
    from pocketsphinx.lm import ArpaBoLM

    model = ArpaBoLM(text="".join(f"<s> {sentence} </s>\n" for sentence in sentences))
    model.compute()
    with atomic_write(path) as stream:
        model.write(stream)


def search_of(lm_text: Path | None, folder: Path) -> dict[str, str]:
    """Language model and, if the wheel's lacks words, dictionary; written into a folder."""
    if lm_text is None:
        return {"language_model": sphinx.default_language_model()}
    sentences = [text for text in tables.read_table(lm_text / "text").values() if text]
    if not sentences:
        raise InputError(f"{lm_text / 'text'}: no sentences for the language model")
    search = {"language_model": str(folder / "lm.arpa")}
    write_language_model(sentences, folder / "lm.arpa")
    unknown = sphinx.unknown_words(word for sentence in sentences for word in sentence.split())
    if unknown:
        search["dictionary"] = str(folder / "pronunciations.dict")
        sphinx.write_dictionary(unknown, folder / "pronunciations.dict")
        print(
            f"{lm_text / 'text'}: {len(unknown)} words pronounced by espeak-ng, such as "
            f"{', '.join(unknown[:5])}"
        )
    return search


class Transcribed(NamedTuple):
    """The results of an engine, and what decode.json says of it."""

    heard: dict[str, Recognized]
    model: str
    confidence: str  # what it is
    times: str  # where they come from; "": there are none


def _by_pocketsphinx(
    utterances: list[kaldi_dir.Utterance], options: argparse.Namespace, lost: dict[str, str]
) -> Transcribed:
    jobs = sphinx.jobs_for(utterances, **search_of(options.lm_text, options.out))
    model = "general US English" if options.lm_text is None else f"trigrams of {options.lm_text}"
    return Transcribed(
        sphinx.decode(jobs, options.out / JOURNAL, options.nj, lost),
        f"{sphinx.version()}, {model}",
        confidence="mean log posterior of the words",
        times="pocketsphinx",
    )


def _by_moonshine(
    utterances: list[kaldi_dir.Utterance], options: argparse.Namespace, lost: dict[str, str]
) -> Transcribed:
    from atat.prepare import moonshine_jobs

    jobs = hearing.spans_of(utterances)
    version = moonshine_jobs.version()
    return Transcribed(
        moonshine_jobs.decode(jobs, options.out / JOURNAL, options.nj, lost),
        version,
        confidence="mean log probability of the tokens",
        times="",
    )


def _by_joint(
    utterances: list[kaldi_dir.Utterance], options: argparse.Namespace, lost: dict[str, str]
) -> Transcribed:
    from atat.prepare import model_jobs

    return Transcribed(
        model_jobs.decode(
            hearing.spans_of(utterances),
            options.out / JOURNAL,
            options.nj,
            lost,
            model=options.model,
            device=options.device,
        ),
        str(options.model),
        confidence="log probability / tokens",
        times="forced alignment by the CTC head of the model",
    )


ENGINES = {"pocketsphinx": _by_pocketsphinx, "moonshine": _by_moonshine, "joint": _by_joint}


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that are not the engine's."""
    cli.check_positive(options, "nj")
    engine = options.engine
    if options.lm_text is not None and engine != "pocketsphinx":
        raise InputError(f"--lm_text is for pocketsphinx; {engine} has no language model to change")
    if engine == "joint" and options.model is None:
        raise InputError("--engine joint needs --model, a packed model such as exp/<name>/model")
    if engine != "joint" and options.model is not None:
        raise InputError(f"--model is for --engine joint; {engine} has a model of its own")


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat transcribe",
        description=cli.guide(
            "Transcribe a data dir with a recogniser: pocketsphinx, Moonshine, or a packed model "
            "of ours that has the task asr (joint). OUT is for scores of that task, for a cascade "
            "(`atat pipeline`), or for labels: `atat heard --task asr` turns it into data for the "
            "task asr. After an interruption the same command continues. Words get times from "
            "pocketsphinx, and from the CTC head of a model that has one (`ctc.weight` above 0); "
            "Moonshine has none. The confidence of a transcript is a mean log probability, 0 or "
            "less: of pocketsphinx' words in its lattice, of Moonshine's tokens, of the tokens of "
            "the model's best hypothesis. It compares transcripts of one engine only.",
            "atat transcribe --engine pocketsphinx --data data/test --lm_text data/train --out "
            "exp/sphinx/decode_test_asr",
            "atat transcribe --engine moonshine --data data/test --out exp/moonshine/decode_asr",
            "atat transcribe --engine joint --model exp/joint/model --data data/new --out "
            "exp/joint/decode_new_asr",
            reads="DATA/wav.scp and the recordings; LM_TEXT/text, from which the language model of "
            "pocketsphinx is made; for moonshine, what `atat encoder get moonshine-tiny` fetched; "
            "for joint, MODEL, a packed model.",
            writes="OUT, a decoded dir for `atat score`, `atat heard` and `atat pipeline`; in it "
            "utt2conf, the confidence of each transcript that is not empty, and, where the engine "
            "has them, ctm, the times of the words in seconds from the start of the utterance.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--engine", choices=ENGINES, default="pocketsphinx", help="the recogniser")
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    parser.add_argument("--lm_text", type=Path, help="data dir whose text the language model knows")
    parser.add_argument("--model", type=Path, help=f"of --engine joint: {named_model.KINDS}")
    parser.add_argument("--device", default="cpu", help="of joint: cpu, cuda or cuda:0")
    parser.add_argument("--nj", type=int, default=1, help="processes, each on one core")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of utterances that may be unreadable; each has an empty transcript",
    )
    options = parser.parse_args(argv)
    _check(options)
    if options.model is not None:
        options.model = named_model.find(options.model)
    utterances = kaldi_dir.load(options.data)
    kaldi_dir.refuse_pipes(options.data, utterances, options.engine)
    lost = contents.faults(options.data, utterances, "wav")
    _report(lost, utterances, options)
    readable, known = [one for one in utterances if one.id not in lost], len(lost)
    with lock.hold(options.out, f"transcription of {options.data}"):
        found = ENGINES[options.engine](readable, options, lost)
        if len(lost) > known:  # what shows only where a recording is read
            _report(lost, utterances, options)
        _write(options, found, lost)


def _report(
    lost: dict[str, str], utterances: list[kaldi_dir.Utterance], options: argparse.Namespace
) -> None:
    report_lost(
        lost,
        len(utterances),
        options.max_lost,
        "cannot be read",
        "fix or drop them (atat datadir repair), or convert them, since there is no --resample or "
        "--channel here",
        data=options.data,
        advice="\neach has an empty transcript, which scoring counts as wrong",
    )


def _write(options: argparse.Namespace, found: Transcribed, lost: dict[str, str]) -> None:
    heard = found.heard
    seconds, wall_seconds = hearing.totals(heard)
    nbest = {
        name: [
            {"text": one.text, "score": one.score, "length": len(one.text.split())}
            | ({"at_limit": True} if one.at_limit else {})
        ]
        for name, one in heard.items()
    } | {name: decoded_dir.unread(why) for name, why in lost.items()}
    timed = {name: one.words for name, one in heard.items() if one.words}
    about = {
        "task": "asr",
        "data": str(options.data),
        "engine": options.engine,
        "model": found.model,
        "utterances": len(nbest),
        "lost": lost,
        "at_limit": sum(one.at_limit for one in heard.values()),
        "confidence": found.confidence,
        "audio_seconds": round(seconds, 3),
        "wall_seconds": round(wall_seconds, 3),
        "provenance": provenance(),
    }
    decoded_dir.write(
        options.out,
        nbest,
        about | ({"times": found.times} if timed else {}),
        confidence={
            name: one.confidence for name, one in heard.items() if one.confidence is not None
        },
        words=timed,
    )
    speed = f"{wall_seconds / seconds:.3f} x real time" if seconds else "no audio"
    spoken = sum(bool(one.text) for one in heard.values())
    times = f"times of words in {len(timed)}" if timed else "no times of words"
    print(f"{options.out}: {len(heard)} recordings, {speed}; words in {spoken}, {times}")
