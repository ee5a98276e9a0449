"""Utterance and speaker ids: which are valid, and the paths of files named after them.

An id is one field of a Kaldi table and one name in a path. So it is not empty, holds no white
space or control character of Unicode (categories Z* and Cc, including U+0085 and U+2028, where
many programs break lines), no byte order mark, no byte that is not UTF-8 and no slash, and is not
`.` or `..`, and has at most 230 bytes. All others are valid. Tables with the first kind of fault
cannot be read; slashes, dots and lengths are errors of `validate` and refused wherever a file is
named.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from atat.base.errors import InputError

# C0 controls and blank; delete, C1 controls and no-break space; the rest of Zs, Zl and Zp; halves
# of characters, by which Python stands for bytes that are not UTF-8; the byte order mark.
_ODD = re.compile(
    "[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff\ufeff]"
)
# Bytes of a file's name; what file systems allow (255) less what a temporary file adds.
LONGEST_NAME = 230


def odd_character(name: str) -> str | None:
    """What is wrong with the characters of an id, a sentence without subject; None: nothing."""
    if name.isascii() and name.isprintable() and " " not in name:
        return None
    found = _ODD.search(name)
    if found is None:
        return None
    character = found[0]
    if "\ud800" <= character <= "\udfff":
        return "holds bytes that are not UTF-8"
    if character in " \t":
        return "holds a blank"
    called = unicodedata.name(character, "a control character").lower()
    return (
        f"holds U+{ord(character):04X} ({called}), which programs take for the end of an id "
        "or do not show"
    )


def fault(name: str) -> str | None:
    """Why an id is invalid, as a sentence without subject; None if it is valid."""
    if not name:
        return "is empty"
    if odd := odd_character(name):
        return odd
    if "/" in name:
        return "holds a slash, and files named after it would lie in another folder"
    if name in (".", ".."):
        return "is the name of a folder, and files named after it would lie elsewhere"
    if (size := len(name.encode())) > LONGEST_NAME:
        return f"is too long to name a file after it: {size} bytes, at most {LONGEST_NAME}"
    return None


def visible(name: str) -> str:
    """The id with its odd characters spelled out (`\\x85`), for lists of ids."""
    return _ODD.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def path_in(folder: str | Path, *names: str, suffix: str = "") -> Path:
    """The path FOLDER/name/…/nameSUFFIX, which lies in the folder; each name is an id.

    Raises InputError for an id that is not sound or too long to name a file after.
    """
    for name in names:
        if found := fault(name):
            raise InputError(
                f"the id {name!r} {found}; no file under {folder} can be named after "
                "it: rename it in all files of its data dir (atat datadir "
                "validate lists such ids)"
            )
        if len(os.fsencode(name + suffix)) > LONGEST_NAME:
            raise InputError(
                f"the id {name!r} is too long to name a file after it: "
                f"{len(os.fsencode(name))} bytes, at most {LONGEST_NAME} with its "
                "ending; give it a shorter name in all files of its data dir"
            )
    return Path(folder, *names[:-1], names[-1] + suffix)
