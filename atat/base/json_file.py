"""JSON files that one command writes and another reads; an incomplete one is an error with advice.

Our own files appear complete or not at all, but a pulled disk, an interrupted copy or an editor can
leave a part. Knows nothing of the files' contents.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atat.base.errors import InputError


def read_json(path: str | Path, fix: str) -> Any:
    """The contents of a JSON file.

    Raises InputError, ending with `fix` (what the user can do), if the file is missing,
    incomplete or not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {fix}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a file was expected; {fix}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start + 1} is not UTF-8; {fix}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: torn or not JSON ({error.msg}); {fix}") from None
    except ValueError:  # Python's limit
        raise InputError(f"{path}: holds a number of thousands of digits; {fix}") from None
    except RecursionError:
        raise InputError(f"{path}: torn or not JSON (nested too deep); {fix}") from None


def read_object(path: str | Path, fix: str) -> dict[str, Any]:
    """As `read_json`, for a file that holds an object (`{...}`)."""
    values = read_json(path, fix)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}; {fix}")
    return values


def read_object_or_none(path: str | Path) -> dict[str, Any] | None:
    """The object in a file, or None if it is missing or incomplete.

    For the question whether a result is finished: one with a torn description is not.
    """
    try:
        return read_object(path, "")
    except InputError:
        return None
