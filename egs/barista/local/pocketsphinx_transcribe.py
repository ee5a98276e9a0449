"""First stage of a pipeline: pocketsphinx writes down what it hears, for an nlu to understand.

    python local/pocketsphinx_transcribe.py --data data/real --out data/real_heard \\
        --lm_text data/text_barista/train

writes a data dir without audio, in which `text` is pocketsphinx' and `semantics` the label, so
that `python -m atat.decode --task nlu` can follow. The language model is a trigram model of the
sentences in `--lm_text` or, without it, the one of general US English in pocketsphinx' wheel.
Recordings in which nothing is heard get the text `<unk>`, since no utterance may go missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from sphinx import check_words, decode, default_language_model, jobs_for, totals

from atat import cli, kaldi
from atat.errors import InputError
from atat.files import atomic_write

NOTHING = "<unk>"


def write_language_model(sentences: Iterable[str], path: Path) -> None:
    """Estimate a trigram model with pocketsphinx' own tool and write it in ARPA format."""
    from pocketsphinx.lm import ArpaBoLM

    model = ArpaBoLM(text="".join(f"<s> {sentence} </s>\n" for sentence in sentences))
    model.compute()
    with atomic_write(path) as stream:
        model.write(stream)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0] + " Example: python local/pocketsphinx_transcribe.py "
        "--data data/real --out data/real_heard --lm_text data/text_barista/train",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument("--lm_text", type=Path, help="data dir whose text the language model knows")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    language_model = default_language_model()
    if options.lm_text is not None:
        sentences = list(kaldi.read_table(options.lm_text / "text").values())
        if not sentences:
            raise InputError(f"{options.lm_text / 'text'}: no sentences for the language model")
        check_words(word for sentence in sentences for word in sentence.split())
        language_model = str(options.out / "lm.arpa")
        write_language_model(sentences, Path(language_model))
    utterances = kaldi.load(options.data)
    jobs = jobs_for(utterances, language_model=language_model)
    heard = decode(jobs, options.out / "journal.jsonl", options.nj)
    kaldi.write(options.out, (
        kaldi.Utterance(id=one.id, speaker=one.speaker, text=heard[one.id].text or NOTHING,
                        semantics=one.semantics)
        for one in utterances
    ))
    seconds = totals(heard)
    silent = sum(not one.text for one in heard.values())
    print(f"{options.out}: {len(heard)} recordings written down, nothing heard in {silent}; "
          f"{seconds[1] / seconds[0]:.3f} x real time")


if __name__ == "__main__":
    cli.run(main)
