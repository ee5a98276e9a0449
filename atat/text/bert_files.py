"""BERT's files: reading them safely, and writing them beside the weights of a packed model.

A third party's BERT is data, never a program. `transformers` runs Python files beside a model if
its configuration asks for it (`auto_map`) and the user says yes; here the answer is always no. Of a
packed model two files are read, and neither can name another file: config.json, from which the
sizes are taken, and tokenizer.json, which the library `tokenizers` reads without any Python.
Weights are tensors only: safetensors, or torch.load with weights_only.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import encoder_files, extras
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

logger = logging.getLogger(__name__)
# Text in, `last_hidden_state` out. Other classes of transformers load further models that their
# configuration names; ConvBERT's convolutions read the padding.
ENCODERS = (
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "megatron-bert", "mobilebert", "modernbert", "mpnet", "rembert", "roberta",
    "squeezebert", "xlm-roberta", "xlm-roberta-xl",
)  # fmt: skip
KIND = "text_encoder.kind bert"
KEY = "text_encoder.bert"  # of a conf, for messages
# What to write for one from scratch, by key.
SMALL = {KEY: "`kind: small`", "bert": "`bert: null`"}
COPY_AGAIN = "copy the whole model again from where it came"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
# What a BERT's outputs depend on, in a folder of `transformers`.
READ = ("model.safetensors", "pytorch_model.bin", CONFIG, TOKENIZER)
CODE = "auto_map"  # transformers' key for Python files to run
# Keys for how to compute, not what to compute: some of them name code or weights to fetch.
IGNORED = ("attn_implementation", "experts_implementation", "quantization_config")
LONGEST = 512  # word pieces, [CLS] and [SEP] included
# Kinds whose positions are counted from behind the number of the padding.
BEHIND_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl")


def located(name: str) -> str:
    """The folder of a text encoder that `atat encoder get` knows by this name; else the name.

    Raises InputError, with the command that gets it, if it is not on this machine, and for a name
    that is almost one of them.
    """
    encoder_files.refuse_mistyped(name, "text encoder")
    published = encoder_files.PUBLISHED.get(name)
    if published is None or published.use != "text encoder" or Path(name).is_dir():
        return name
    return str(encoder_files.checked(name))


def files_of(name: str | None) -> list[Path]:
    """The files of a text encoder that is in a folder here; none of the hub's.

    Raises InputError as `located` does.
    """
    return [Path(located(name)) / file for file in READ] if name else []


def pretrained(name: str, key: str = KEY) -> nn.Module:
    """A BERT with its weights, from a folder, the hub, or `atat encoder get`.

    key: of the conf that names it, for messages. Raises InputError if it cannot be loaded or is
    not one of transformers' own kinds of BERT.
    """
    with extras.needed("bert", by=KIND):
        from transformers import AutoModel

    config = pretrained_config(name, key)
    return _from_pretrained(AutoModel, located(name), key, config=config, weights_only=True)


def pretrained_masked(name: str, key: str) -> nn.Module:
    """A BERT (`BertForMaskedLM`) with its head for masked word pieces, from a folder or the hub.

    Some are published without the head: a warning says that theirs has random weights beside the
    word embeddings, which it shares. key: of the conf, for messages. Raises InputError as
    `pretrained` does, and for another kind than BERT itself, whose parts have other names.
    """
    with extras.needed("bert", by=key):
        from transformers import BertForMaskedLM
        from transformers.utils import logging

    name = located(name)
    config = pretrained_config(name, key)
    if config.model_type != "bert":
        raise InputError(
            f"{key}: `{name}` is of the kind {config.model_type!r}; expected one of the kind "
            "'bert', such as bert-base-uncased"
        )
    loud = logging.get_verbosity()
    logging.set_verbosity_error()  # of a head that is missing it says that the file is damaged
    try:
        model, found = _from_pretrained(
            BertForMaskedLM, name, key, config=config, weights_only=True, output_loading_info=True
        )
    finally:
        logging.set_verbosity(loud)
    if any(missing.startswith("cls.predictions.tr") for missing in found["missing_keys"]):
        logger.warning(
            "%s comes without BERT's head for masked words: its transform begins with random "
            "weights, the word embeddings behind it are its own",
            name,
        )
    masked: nn.Module = model
    return masked


def pretrained_config(name: str, key: str = KEY) -> Any:
    """The configuration of a BERT, by the same names, which asks for no code; key as in
    `pretrained`. Raises InputError for one that does, and for another than a BERT's."""
    with extras.needed("bert", by=KIND):
        from transformers import AutoConfig

    name = located(name)
    if (Path(name) / CONFIG).is_file():  # before transformers reads it
        check_config(read_object(Path(name) / CONFIG, COPY_AGAIN), f"{key}: {name}/{CONFIG}")
    config = _from_pretrained(AutoConfig, name, key)
    check_config(config.to_dict(), f"{key}: the configuration of `{name}`")
    kernel = str(getattr(config, "_attn_implementation", None))
    if "/" in kernel:  # compiled code of a hub
        raise InputError(
            f"{key}: `{name}` asks for attention computed by code of {kernel}; atat "
            "runs no such code. Remove attn_implementation from its configuration"
        )
    return config


def pretrained_tokenizer(name: str, key: str = KEY) -> Tokenizer:
    """The tokenizer of a BERT, by the same names; key as in `pretrained`. It neither pads nor cuts,
    as those of sentence encoders do that were stored with a length.

    Raises InputError if there is none.
    """
    with extras.needed("bert", by=KIND):
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

    found = getattr(_from_pretrained(AutoTokenizer, located(name), key), "backend_tokenizer", None)
    if not isinstance(found, Tokenizer):
        raise InputError(
            f"{key}: the tokenizer of `{name}` runs Python of its own; expected one "
            f"that is a {TOKENIZER}, as BERT's, RoBERTa's and their kind are"
        )
    found.no_padding()
    found.no_truncation()
    return found


def packed(folder: Path) -> nn.Module:
    """The BERT of a packed model, without its weights; its code is transformers' own.

    Raises InputError for a configuration that is missing or invalid.
    """
    with extras.needed("bert", by=KIND):
        from transformers import AutoModel

    config = packed_config(folder)
    with _building(folder / CONFIG):
        return AutoModel.from_config(config, trust_remote_code=False)


def packed_config(folder: Path) -> Any:
    """The configuration of a packed model's BERT. Raises InputError as `packed` does."""
    with extras.needed("bert", by=KIND):
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = folder / CONFIG
    values = read_object(path, COPY_AGAIN)
    check_config(values, str(path))
    sizes = {k: v for k, v in values.items() if k not in IGNORED and not k.startswith("_")}
    with _building(path):
        return CONFIG_MAPPING[values["model_type"]].from_dict(sizes)


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """A foreign configuration can raise anything in the library: inside, it is an InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{path}: no configuration that transformers can build ({_first_line(error)}); copy "
            "the whole model again from where it came"
        ) from None


def positions(config: Any) -> int:
    """Word pieces that a BERT of this configuration can read at once, [CLS] and [SEP] included."""
    behind = config.pad_token_id + 1 if config.model_type in BEHIND_PADDING else 0
    return int(config.max_position_embeddings) - int(behind)


def scratch(
    width: int, layers: int, heads: int, pieces: int, dropout: float = 0.1, spread: float = 0.02
) -> nn.Module:
    """A `BertForMaskedLM` with random weights; the inner width is four times the width.

    spread: the standard deviation of the weights, BERT's at a width of 768.
    """
    with extras.needed("bert", by="a BERT from scratch"):
        from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=pieces,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=spread,
        )
    )


def packed_tokenizer(folder: Path) -> Tokenizer:
    """The word pieces of a packed model. Raises InputError for a missing or invalid file."""
    with extras.needed("bert", by=KIND):
        from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if not path.is_file():
        raise InputError(f"{path}: no such file; {COPY_AGAIN}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # of `tokenizers`, which raises nothing narrower
        raise InputError(
            f"{path}: not a file of `tokenizers` ({_first_line(error)}); copy the whole model "
            "again from where it came"
        ) from None


def save(model: nn.Module, tokenizer: Tokenizer | None, folder: Path) -> None:
    """Write the files that `packed` and, where there is one, `packed_tokenizer` read."""
    config: Any = model.config  # transformers', of which nn.Module knows nothing
    values = json.loads(config.to_json_string())
    values.pop(CODE, None)
    with atomic_write(folder / CONFIG) as stream:
        json.dump(values, stream, indent=2, sort_keys=True)
    if tokenizer is not None:
        with atomic_write(folder / TOKENIZER) as stream:
            stream.write(tokenizer.to_str(pretty=True))


def check_config(values: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a configuration that asks for code, or is not a BERT's."""
    if values.get(CODE):
        raise InputError(
            f"{where}: asks to run Python files of whoever made it (`{CODE}`); atat runs no such "
            "code. Expected a BERT that transformers can build by itself, such as bert-base-uncased"
        )
    kind = values.get("model_type")
    if kind not in ENCODERS:
        raise InputError(
            f"{where}: `model_type` is {kind!r}; expected a text encoder: {', '.join(ENCODERS)}"
        )


def _from_pretrained(cls: Any, name: str, key: str, **options: Any) -> Any:
    try:
        return cls.from_pretrained(name, trust_remote_code=False, **options)
    except pickle.UnpicklingError:  # its message advises loading it anyway
        raise InputError(
            f"{key}: cannot load `{name}`: its weights are a pickle of more than "
            "tensors, which could run a program; expected model.safetensors"
        ) from None
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        otherwise = f"; {SMALL[key]} needs no pretrained weights" if key in SMALL else ""
        raise InputError(
            f"{key}: cannot load `{name}`: {_first_line(error)} "
            "Expected a folder with a BERT saved by `transformers`, or a name on its hub and a "
            f"connection to it{otherwise}."
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
