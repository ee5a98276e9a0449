"""The gathered parts as the data dirs that the confs name.

    python local/join.py --data data

joins `DATA/parts/<role>_*` to `DATA/<role>` (train_slu, dev_slu, train_asr, dev_asr, train_nlu,
dev_nlu). The dirs of nlu keep text and meaning alone. `DATA/train_mlm` holds the utterances of
train_asr whose words have times. Prints what each has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.edit import aligned, combine, subset

ROLES = ("train_slu", "dev_slu", "train_asr", "dev_asr", "train_nlu", "dev_nlu")


def join(data: Path) -> list[Path]:
    """Write all data dirs there are parts for; their folders."""
    made = []
    for role in ROLES:
        parts = sorted((data / "parts").glob(f"{role}_*"))
        if not parts:
            continue
        target = data / role
        if role.endswith("nlu"):
            _join_text(target, parts)
        else:
            combine(target, list(parts))
        made.append(target)
    if not made:
        raise InputError(f"{data / 'parts'}: no parts to join; begin with stage 0")
    if (data / "train_asr" / "ctm").is_file():
        made.append(data / "train_mlm")
        subset(data / "train_asr", made[-1], aligned)
    return made


def _join_text(target: Path, parts: list[Path]) -> None:
    kaldi_dir.write(
        target,
        (
            kaldi_dir.Utterance(id=u.id, speaker=u.speaker, text=u.text, semantics=u.semantics)
            for part in parts
            for u in kaldi_dir.load(part)
        ),
    )
    licence.write(target, *map(licence.of, parts))


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/join.py --data data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with `parts`")
    options = parser.parse_args(argv)
    for folder in join(options.data):
        print(f"{folder}: {len(tables.read_table(folder / 'utt2spk'))} utterances")


if __name__ == "__main__":
    cli.run(main)
