"""Write a packed model's card: what it was trained on, what it scored, under which licence it is.

atat card exp/joint/model --license apache-2.0

What the card says, and where it knows it from, is in `model_card`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from atat.base import cli
from atat.base.errors import InputError
from atat.engine import named_model

if TYPE_CHECKING:
    from atat.engine.model_card import Data


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat card",
        description=cli.guide(
            "Write the model card of a packed model: what it was trained on with the licences, "
            "how, and what it scored. Training and `atat pack` write one, too; this command adds "
            "figures that were made since, the model's licence, and what you want to say.",
            "atat card exp/joint/model",
            "atat card exp/joint/model --license cc-by-4.0 --note 'For kitchens, not for cars.'",
            "atat card models/joint --decoded exp/joint/decode_test exp/joint/decode_noisy",
            reads="MODEL; DECODED, scored decodings of exactly its weights; of a training's own "
            "model (RUN/model) RUN, and the file `license` of each data dir, one line.",
            writes="MODEL/README.md, MODEL/about.json and MODEL/SHA256SUMS.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    named_model.add_argument(parser, written=True)
    add("--decoded", type=Path, nargs="+", help="scored decodings (default: MODEL/../decode_*)")
    add("--license", help="of the model, as the hub writes it: apache-2.0, cc-by-4.0 ...")
    add("--name", help="what the card calls the model")
    add("--note", action="append", help="a sentence under its limits; may be repeated")
    options = parser.parse_args(argv)
    options.model = named_model.to_write(options.model, "the card")
    for warning in write(
        options.model, options.decoded, options.license, options.name, options.note
    ):
        print(f"left out: {warning}")
    print(f"{options.model / 'README.md'}: written")


def write(
    model: Path,
    decoded: list[Path] | None = None,
    license: str | None = None,
    name: str | None = None,
    notes: list[str] | None = None,
) -> list[str]:
    """Write the card; returns which decodings beside the model it does not speak of, and why.

    Raises InputError for a folder that is no packed model, and for a decoding that was named and is
    not one of its weights.
    """
    from atat.engine import model_card, model_folder, registry, run_folder

    model_folder.check(model)
    before, run = model_card.read(model), model.resolve().parent
    about = before
    if (run / "config.yaml").is_file() and (run / run_folder.MODEL).resolve() == model.resolve():
        settings = registry.load_settings(run / "config.yaml")[1]
        about = model_card.of_run(model.parent, settings)
        if before is not None:
            about = model_card.said_before(about, before)
            about = replace(about, data=_still_known(about.data, before.data))
    about = about or model_card.About(model.name)
    found, refused = model_card.results_of(model, decoded or run.glob("decode_*"))
    if decoded and refused:
        raise InputError(refused[0])
    about = replace(
        about,
        name=name or about.name,
        license=license or about.license,
        notes=tuple(notes) if notes else about.notes,
        encoder=model_card.encoder_of(model),
        results=tuple(found) or (before.results if before is not None else ()),
    )
    model_card.write(model, about)
    return refused


def _still_known(now: tuple[Data, ...], before: tuple[Data, ...]) -> tuple[Data, ...]:
    """Of each data dir what was known when the model was packed, if its folder has gone since."""
    from atat.engine.model_card import UNKNOWN

    known = {one.data: one for one in before}
    kept = [known.get(one.data, one) if one.license == UNKNOWN else one for one in now]
    names = {one.data for one in now}
    return tuple(kept + [one for one in before if one.data not in names])
