"""Checks of numbers in settings: an InputError names the key and what was expected."""

from __future__ import annotations

from atat.base.errors import InputError


def at_least(smallest: int, **values: int) -> None:
    """Raise InputError for the first value below `smallest`."""
    for name, value in values.items():
        if value < smallest:
            raise InputError(f"{name} is {value}; expected at least {smallest}")


def confidence(**values: float | None) -> None:
    """Raise InputError for the first value outside [0, 1]; None stands for the default."""
    for name, value in values.items():
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} is {value:g}; expected a confidence, 0 to 1")


def below_one(**values: float) -> None:
    """Raise InputError for the first value outside [0, 1): dropout rates and the like."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; expected at least 0 and below 1")
