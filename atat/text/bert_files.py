"""BERT's files: reading them safely, and writing them beside the weights of a packed model.

A third party's BERT is data, never a program. `transformers` runs Python files beside a model if
its configuration asks for it (`auto_map`) and the user says yes; here the answer is always no. Of a
packed model two files are read, and neither can name another file: config.json, from which the
sizes are taken, and tokenizer.json, which the library `tokenizers` reads without any Python.
Weights are tensors only: safetensors, or torch.load with weights_only.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import extras
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

# Text in, `last_hidden_state` out. Other classes of transformers load further models that their
# configuration names.
ENCODERS = (
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "megatron-bert", "mobilebert", "modernbert", "mpnet", "rembert", "roberta",
    "squeezebert", "xlm-roberta", "xlm-roberta-xl",
)  # fmt: skip
KIND = "text_encoder.kind bert"
COPY_AGAIN = "copy the whole model again from where it came"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
CODE = "auto_map"  # transformers' key for Python files to run
# Keys for how to compute, not what to compute: some of them name code or weights to fetch.
IGNORED = ("attn_implementation", "experts_implementation", "quantization_config")
LONGEST = 512  # word pieces, [CLS] and [SEP] included


def pretrained(name: str) -> nn.Module:
    """A BERT with its weights, from a folder or the hub.

    Raises InputError if it cannot be loaded or is not one of transformers' own kinds of BERT.
    """
    with extras.needed("bert", by=KIND):
        from transformers import AutoConfig, AutoModel

    if (Path(name) / CONFIG).is_file():  # before transformers reads it
        check_config(
            read_object(Path(name) / CONFIG, COPY_AGAIN), f"text_encoder.bert: {name}/{CONFIG}"
        )
    config = _from_pretrained(AutoConfig, name)
    check_config(config.to_dict(), f"text_encoder.bert: the configuration of `{name}`")
    kernel = str(getattr(config, "_attn_implementation", None))
    if "/" in kernel:  # compiled code of a hub
        raise InputError(
            f"text_encoder.bert: `{name}` asks for attention computed by code of {kernel}; atat "
            "runs no such code. Remove attn_implementation from its configuration"
        )
    return _from_pretrained(AutoModel, name, config=config, weights_only=True)


def pretrained_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a BERT from a folder or the hub. Raises InputError if there is none."""
    with extras.needed("bert", by=KIND):
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

    found = getattr(_from_pretrained(AutoTokenizer, name), "backend_tokenizer", None)
    if not isinstance(found, Tokenizer):
        raise InputError(
            f"text_encoder.bert: the tokenizer of `{name}` runs Python of its own; expected one "
            f"that is a {TOKENIZER}, as BERT's, RoBERTa's and their kind are"
        )
    return found


def packed(folder: Path) -> nn.Module:
    """The BERT of a packed model, without its weights; its code is transformers' own.

    Raises InputError for a configuration that is missing or invalid.
    """
    with extras.needed("bert", by=KIND):
        from transformers import AutoModel
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = folder / CONFIG
    values = read_object(path, COPY_AGAIN)
    check_config(values, str(path))
    sizes = {k: v for k, v in values.items() if k not in IGNORED and not k.startswith("_")}
    try:
        config = CONFIG_MAPPING[values["model_type"]].from_dict(sizes)
        return AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # a foreign configuration can raise anything in the library
        raise InputError(
            f"{path}: no configuration that transformers can build ({_first_line(error)}); copy "
            "the whole model again from where it came"
        ) from None


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


def save(model: nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that `packed` and `packed_tokenizer` read."""
    config: Any = model.config  # transformers', of which nn.Module knows nothing
    values = json.loads(config.to_json_string())
    values.pop(CODE, None)
    with atomic_write(folder / CONFIG) as stream:
        json.dump(values, stream, indent=2, sort_keys=True)
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


def _from_pretrained(cls: Any, name: str, **options: Any) -> Any:
    try:
        return cls.from_pretrained(name, trust_remote_code=False, **options)
    except pickle.UnpicklingError:  # its message advises loading it anyway
        raise InputError(
            f"text_encoder.bert: cannot load `{name}`: its weights are a pickle of more than "
            "tensors, which could run a program; expected model.safetensors"
        ) from None
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"text_encoder.bert: cannot load `{name}`: {_first_line(error)} "
            "Expected a folder with a BERT saved by `transformers`, or a name on its hub and a "
            "connection to it; `kind: small` needs no pretrained weights."
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
