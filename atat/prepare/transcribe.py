"""Transcripts by a recogniser of others, beside the asr task of our own models.

    atat transcribe --engine pocketsphinx --data data/test --lm_text data/train \\
        --out exp/pocketsphinx/decode_test_asr
    atat transcribe --engine moonshine --data data/test --out exp/moonshine/decode_test_asr

writes a decoded dir, which `atat score` scores and `atat heard` turns into a data dir. The acoustic
model of pocketsphinx was trained on real speech (US English). Its language model is a trigram model
of the sentences of `--lm_text` or, without it, the one of general US English in its wheel; words of
`--lm_text` that its dictionary lacks are pronounced by espeak-ng. Moonshine (English) needs no such
text; what it writes is normalised. After an interrupt either continues where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.provenance import provenance
from atat.datadir import kaldi_dir, tables
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


def _by_pocketsphinx(
    utterances: list[kaldi_dir.Utterance], options: argparse.Namespace
) -> tuple[dict[str, Recognized], str]:
    jobs = sphinx.jobs_for(utterances, **search_of(options.lm_text, options.out))
    model = "general US English" if options.lm_text is None else f"trigrams of {options.lm_text}"
    heard = sphinx.decode(jobs, options.out / JOURNAL, options.nj)
    return heard, f"{sphinx.version()}, {model}"


def _by_moonshine(
    utterances: list[kaldi_dir.Utterance], options: argparse.Namespace
) -> tuple[dict[str, Recognized], str]:
    from atat.prepare import moonshine_jobs

    if options.lm_text is not None:
        raise InputError("--lm_text is for pocketsphinx; moonshine has no language model to change")
    jobs = hearing.spans_of(utterances)
    version = moonshine_jobs.version()
    return moonshine_jobs.decode(jobs, options.out / JOURNAL, options.nj), version


ENGINES = {"pocketsphinx": _by_pocketsphinx, "moonshine": _by_moonshine}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="atat transcribe",
        description=cli.guide(
            "Transcribe a data dir with a recogniser of others, to compare the asr task of our own "
            "models with (those: atat decode --task asr), or to make labels.",
            "atat transcribe --engine pocketsphinx --data data/test --lm_text data/train --out "
            "exp/sphinx/decode_test_asr",
            "atat transcribe --engine moonshine --data data/test --out exp/moonshine/decode_asr",
            reads="DATA/wav.scp and the recordings; LM_TEXT/text, from which the language model of "
            "pocketsphinx is made; for moonshine, what `atat encoder get moonshine-tiny` fetched.",
            writes="OUT, a decoded dir for `atat score`, `atat heard` and `atat pipeline`.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--engine", choices=ENGINES, default="pocketsphinx", help="the recogniser")
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    parser.add_argument("--lm_text", type=Path, help="data dir whose text the language model knows")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    cli.check_positive(options, "nj")
    utterances = kaldi_dir.load(options.data)
    kaldi_dir.refuse_pipes(options.data, utterances, options.engine)
    heard, model = ENGINES[options.engine](utterances, options)
    seconds = hearing.totals(heard)
    nbest = {
        name: [{"text": one.text, "score": one.score, "length": len(one.text.split())}]
        for name, one in heard.items()
    }
    decoded_dir.write(
        options.out,
        nbest,
        {
            "task": "asr",
            "data": str(options.data),
            "model": model,
            "utterances": len(heard),
            "audio_seconds": round(seconds[0], 3),
            "wall_seconds": round(seconds[1], 3),
            "provenance": provenance(),
        },
    )
    print(f"{options.out}: {len(heard)} recordings, {seconds[1] / seconds[0]:.3f} x real time")
