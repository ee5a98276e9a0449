"""Entries of scp files that are shell commands (pipes): recognising and running them.

Kaldi reads the output of an entry that ends in `|`. Only this module decides what a pipe is, and
only this module runs one: tables are loaded with pipes as text, and only `audio.load` with
`allow_pipes`, set by the user, calls it. Knows nothing of tables and of audio.
"""

from __future__ import annotations

import subprocess

from atat.base.errors import InputError

# Advice for commands that need the audio itself, not a pipe.
WAYS_OUT = (
    "make features of it once, which run it (atat features --allow_pipes), or "
    "write its output to a file"
)


def is_pipe(entry: str) -> bool:
    """Whether an entry of an scp file is a shell command instead of a file.

    Kaldi reads from one that ends in `|`; one that begins with it would be written to.
    """
    entry = entry.strip()
    return entry.endswith("|") or entry.startswith("|")


def run(entry: str) -> bytes:
    """The output of an entry's command, which must not be empty.

    Raises InputError for a command that fails and for one that is to be written to.
    """
    command = entry.strip()
    if command.startswith("|"):
        raise InputError(
            f"{entry}: a command that begins with `|` is written to and cannot be read; "
            "one to read from ends in `|`"
        )
    done = subprocess.run(command[:-1], shell=True, capture_output=True)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise InputError(
            f"{entry}: the command failed with exit code {done.returncode}: {reason[0]}; "
            "run it by hand and correct it"
        )
    return done.stdout
