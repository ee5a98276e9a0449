"""Transcripts by pocketsphinx, as another recogniser beside the asr task of our own models.

    atat sphinx_asr --data data/test --lm_text data/train \\
        --out exp/pocketsphinx/decode_test_asr

writes a decoded dir, which `atat score` scores and `atat heard` turns into a
data dir. The acoustic model was trained on real speech (US English). The language model is a
trigram model of the sentences of `--lm_text` or, without it, the one of general US English in
pocketsphinx' wheel. Words of `--lm_text` that its dictionary lacks are pronounced by espeak-ng.
After an interrupt it continues where it stopped.
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
from atat.prepare import sphinx
from atat.scoring import decoded_dir


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="atat sphinx_asr",
        description=cli.guide(
            "Transcribe a data dir with pocketsphinx, a recogniser to compare the asr task of "
            "our own models with.",
            "atat sphinx_asr --data data/test --lm_text data/train --out "
            "exp/sphinx/decode_test_asr",
            reads="DATA/wav.scp and the recordings; LM_TEXT/text, from which a language model "
            "is made.",
            writes="OUT, a decoded dir for `atat score`, `atat heard` and `atat pipeline`.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    parser.add_argument("--lm_text", type=Path, help="data dir whose text the language model knows")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    if options.nj < 1:
        raise InputError(f"--nj {options.nj}: expected at least 1")
    utterances = kaldi_dir.load(options.data)
    kaldi_dir.refuse_pipes(options.data, utterances, "pocketsphinx")
    jobs = sphinx.jobs_for(utterances, **search_of(options.lm_text, options.out))
    heard = sphinx.decode(jobs, options.out / "journal.jsonl", options.nj)
    seconds = sphinx.totals(heard)
    nbest = {
        name: [{"text": one.text, "score": one.score, "length": len(one.text.split())}]
        for name, one in heard.items()
    }
    model = "general US English" if options.lm_text is None else f"trigrams of {options.lm_text}"
    decoded_dir.write(
        options.out,
        nbest,
        {
            "task": "asr",
            "data": str(options.data),
            "model": f"{sphinx.version()}, {model}",
            "utterances": len(heard),
            "audio_seconds": round(seconds[0], 3),
            "wall_seconds": round(seconds[1], 3),
            "provenance": provenance(),
        },
    )
    print(f"{options.out}: {len(heard)} recordings, {seconds[1] / seconds[0]:.3f} x real time")
