"""Systems by name: those of `atat/systems`, and others that are registered.

A conf names its system by the key `system`, a packed model in its config.yaml. A folder from
somebody else must never choose which code runs: a name is looked up only among the systems of this
package and those the user has registered, in Python (`register`) or by the environment variable
ATAT_SYSTEMS (modules, separated by commas, that are imported and register themselves).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import config, suggest
from atat.base.errors import InputError

if TYPE_CHECKING:
    from atat.engine.contract import System
    from atat.engine.settings import RunSettings

DEFAULT = "joint"  # of confs and models of before there were several
PACKAGE = "atat.systems"
CONFIG = "config.yaml"  # of a packed model; it names the system
CARD, FACTS = "README.md", "about.json"  # of a packed model; atat/engine/model_card.py
_registered: dict[str, System] = {}


def register(system: System) -> None:
    """Register a system of your own under its name."""
    _registered[system.name] = system


def find(name: str, where: str) -> System:
    """The system called `name`; else InputError with the known names. where: for the message."""
    _import_those_of_the_user()
    if name in _registered:
        return _registered[name]
    if name in names():
        found: System = importlib.import_module(f"{PACKAGE}.{name}.system").system
        return found
    near = suggest.among(name, sorted({*names(), *_registered}))
    raise InputError(
        f"{where}: system `{name}` is not known; {near}. Correct the key `system`; a system of "
        "your own is found when its module is named in the environment variable ATAT_SYSTEMS"
    )


def _import_those_of_the_user() -> None:
    for module in filter(None, os.environ.get("ATAT_SYSTEMS", "").split(",")):
        try:
            importlib.import_module(module.strip())
        except ModuleNotFoundError as error:
            if error.name != module.strip():
                raise
            raise InputError(
                f"ATAT_SYSTEMS names {module.strip()}, which cannot be imported; correct the name, "
                "or add its folder to PYTHONPATH"
            ) from None


def names() -> list[str]:
    """Names of the package's systems that can be trained."""
    folder = importlib.import_module(PACKAGE).__path__
    return [
        module.name
        for module in pkgutil.iter_modules(folder)
        if importlib.util.find_spec(f"{PACKAGE}.{module.name}.system") is not None
    ]


def of_model(folder: Path) -> System:
    """The system that a packed model's config.yaml names; no file outside the folder is read."""
    path = folder / CONFIG
    return _named(config.read_yaml(path, bases=False), path)


def load_settings(path: str | Path, overrides: Sequence[str] = ()) -> tuple[System, RunSettings]:
    """A training conf, or the config.yaml of a run, and its system."""
    content = config.read(path, overrides)
    system = _named(content.values, path)
    return system, config.from_dict(content.values, system.settings, content.source_of)


def _named(values: Mapping[str, Any], path: str | Path) -> System:
    """The system that the values of a file name."""
    return find(str(values.get("system", DEFAULT)), str(path))
