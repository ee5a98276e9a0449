"""YAML files of values, read into typed dataclasses.

The loader itself knows no keys: the dataclass it is given says which keys exist, which types
they have and which may be left out. A misspelt key, a wrong type or a missing key raises an
`InputError` that names the key and the file that holds it: a file may take values from another
one with `base: other.yaml` (`atat.base.yaml_file`).
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from atat.base import suggest, yaml_file
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.yaml_file import Content

T = TypeVar("T")
Where = str | Callable[[str], str]  # one name for all keys, or a function from key to name
MAX = sys.float_info.max
# YAML 1.1 (PyYAML) takes 1e-3 for text: a float needs a dot and a signed exponent.
_FLOAT_TEXT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def load(path: str | Path, cls: type[T], overrides: Sequence[str] = (), *, bases: bool = True) -> T:
    """Read the YAML file `path` and its bases into the dataclass `cls`.

    `overrides` are "key.sub=value" texts that replace values of the file; the value is read as
    YAML. Without `bases`, a file that names a base is refused. Raises InputError naming file and
    key.
    """
    content = read(path, overrides, bases=bases)
    return from_dict(content.values, cls, content.source_of)


def read_yaml(
    path: str | Path, overrides: Sequence[str] = (), *, bases: bool = True
) -> dict[str, Any]:
    """The mapping a YAML file and its bases (`atat.base.yaml_file`) hold.

    `overrides` and `bases` as in `load`. Raises InputError with the line if it is not YAML.
    """
    return read(path, overrides, bases=bases).values


def read(path: str | Path, overrides: Sequence[str] = (), *, bases: bool = True) -> Content:
    """The same, with the place where each value stands (`Content.source_of`)."""
    content = yaml_file.read(path, bases=bases)
    values, layers = content.values, content.layers
    for override in overrides:
        values = _overridden(values, override)
        layers = ((f"--set {override}", _overridden({}, override)), *layers)
    return Content(values, layers, content.files)


def from_dict(values: Mapping[str, Any], cls: type[T], where: Where, prefix: str = "") -> T:
    """Build the dataclass `cls` from plain values; `where` names the source in errors."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            near = suggest.nearest(str(key), fields)
            hint = f"did you mean `{near}`?" if near else f"known keys: {', '.join(fields)}"
            name = f"{prefix}{key}"
            raise InputError(f"{_at(where, name)}: unknown key `{name}`; {hint}")
    hints = typing.get_type_hints(cls)
    found = {}
    for name, field in fields.items():
        if name in values:
            found[name] = _convert(values[name], hints[name], where, prefix + name)
        elif _required(field):
            raise InputError(
                f"{_at(where, prefix + name)}: key `{prefix}{name}` is missing "
                f"({_type_name(hints[name])})"
            )
    try:
        return cls(**found)
    except InputError as error:
        # A dataclass checks its own values in __post_init__ and knows neither file nor prefix.
        raise InputError(
            f"{_at(where, prefix[:-1])}: {'in `' + prefix[:-1] + '`: ' if prefix else ''}{error}"
        ) from None


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values of a configuration dataclass, ready for YAML or JSON."""
    return _plain(dataclasses.asdict(config))


def save(path: str | Path, config: Any) -> None:
    """Write a configuration so that `load` gives it back."""
    with atomic_write(path) as stream:
        yaml.safe_dump(to_dict(config), stream, sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _overridden(values: Mapping[str, Any], override: str) -> dict[str, Any]:
    """The values after an override; those given stay, since mappings of a file may be shared."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override}: expected key=value, such as optim.factor=0.5")
    *parents, last = key.split(".")
    found = changed = dict(values)
    for parent in parents:
        beneath = changed.get(parent, {})
        if not isinstance(beneath, dict):
            raise InputError(f"--set {override}: `{parent}` holds a value, not further keys")
        changed[parent] = dict(beneath)
        changed = changed[parent]
    try:
        changed[last] = yaml_file.parse(text)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: `{text}` is not valid YAML") from None
    return found


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(value: Any, hint: Any, where: Where, key: str) -> Any:
    """`value` as the type `hint`, or InputError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_optional(value, arguments, where, key)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong(value, "further keys", where, key)
        return from_dict(value, hint, where, key + ".")  # type: ignore[arg-type]
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise _wrong(value, "a list", where, key)
        items = [_convert(v, arguments[0], where, f"{key}[{i}]") for i, v in enumerate(value)]
        return origin(items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(value, "further keys", where, key)
        return {k: _convert(v, arguments[1], where, f"{key}.{k}") for k, v in value.items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise _wrong(value, "one of " + ", ".join(map(str, arguments)), where, key)
        return value
    return _convert_plain(value, hint, where, key)


def _convert_optional(value: Any, arguments: tuple[Any, ...], where: Where, key: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    kinds = [argument for argument in arguments if argument is not type(None)]
    assert len(kinds) == 1, "configuration fields are one type, optionally with None"
    return _convert(value, kinds[0], where, key)


def _convert_plain(value: Any, hint: Any, where: Where, key: str) -> Any:
    if hint is Any:
        _check_finite(value, where, key)
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_finite(value, where, key)
        return float(value)
    if hint is float and isinstance(value, str) and _FLOAT_TEXT.fullmatch(value):
        raise InputError(
            f"{_at(where, key)}: key `{key}`: YAML reads {value} as text, not as a number; "
            f"write {_yaml_float(value)}"
        )
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(value, _type_name(hint), where, key)
    return value


def _check_finite(value: Any, where: Where, key: str) -> None:
    """Refuse .nan, .inf and whole numbers too large for a float: no setting can use them."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_finite(item, where, f"{key}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_finite(item, where, f"{key}[{number}]")
    elif isinstance(value, (int, float)) and not -MAX <= value <= MAX:
        raise _wrong(value, "a finite number", where, key)


def _yaml_float(text: str) -> str:
    mantissa, _, exponent = text.lower().partition("e")
    mantissa = mantissa if "." in mantissa else mantissa + ".0"
    mantissa = re.sub(r"^([-+]?)\.", r"\g<1>0.", mantissa)
    sign = "" if not exponent or exponent[0] in "+-" else "+"
    return f"{mantissa}e{sign}{exponent}" if exponent else mantissa


def _wrong(value: Any, expected: str, where: Where, key: str) -> InputError:
    found = f"{value!r} ({type(value).__name__})"
    return InputError(f"{_at(where, key)}: key `{key}` is {found}; expected {expected}")


def _at(where: Where, key: str) -> str:
    return where if isinstance(where, str) else where(key)


def _type_name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, str(hint).replace("typing.", ""))
