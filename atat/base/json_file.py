"""JSON objects that a command wrote and another reads: whole, or a sentence that says what to do.

Our own files appear whole or not at all, but a disk that was pulled, a copy that stopped or an
editor can leave a part. Knows nothing of what the files hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atat.base.errors import InputError


def read_json(path: str | Path, mend: str) -> Any:
    """What a JSON file holds.

    Raises InputError, ending with `mend` (what the user can do), where the file is missing, is
    not whole or is no JSON at all.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {mend}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a file was expected; {mend}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start + 1} is not UTF-8; {mend}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: torn or not JSON ({error.msg}); {mend}") from None
    except RecursionError:
        raise InputError(f"{path}: torn or not JSON (nested too deep); {mend}") from None


def read_object(path: str | Path, mend: str) -> dict[str, Any]:
    """As `read_json`, of a file that holds an object (`{...}`)."""
    values = read_json(path, mend)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}; {mend}")
    return values


def read_object_or_none(path: str | Path) -> dict[str, Any] | None:
    """The object in a file, or None where it is missing or not whole.

    For whoever asks whether a result is finished: one whose description is torn is not.
    """
    try:
        return read_object(path, "")
    except InputError:
        return None
