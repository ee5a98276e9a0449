"""utils/audit.sh: what it says, and its exit code, by what pip-audit (a stand-in) has found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """#!{python}
# A stand-in: `-m venv DIR` makes one whose pip does nothing and whose pip-audit has found FOUND.
import os, pathlib, sys
if sys.argv[1:3] == ["-m", "venv"]:
    bin = pathlib.Path(sys.argv[3], "bin")
    bin.mkdir(parents=True)
    (bin / "python").write_text("#!/bin/sh\\n{pip}\\n")
    (bin / "pip-audit").write_text({audit!r})
    for path in bin.iterdir():
        path.chmod(0o755)
else:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""
AUDIT = """#!/bin/bash
while (($#)); do
  case $1 in
    --output) out=$2 ;;
    -r) cat "$2" >>{asked} ;;
  esac
  shift
done
[ ! -f {found} ] || cp {found} "$out"
echo "no such host" >&2
exit 1
"""
FAULT = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}
GOOD: dict[str, Any] = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [FAULT]}
SKIPPED = {"name": "lost", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([GOOD], 0, "with known vulnerabilities"),
        ([GOOD, BAD], 1, "bad 1.0: PYSEC-1, CVE-1; fixed in 2.0"),
        ([GOOD, SKIPPED], 3, "no answer about"),
        ([BAD, SKIPPED], 1, "no answer about"),
        ([SKIPPED], 3, "0 pinned versions asked about, 0 with known"),
        (None, 3, "nothing is known:\nno such host"),
        ("no pip", 3, "pip-audit cannot be installed"),
        ("no venv", 3, "no environment can be made for pip-audit, so that nothing was asked: why"),
    ],
)
def test_no_answer_is_not_taken_for_a_good_one(
    tmp_path: Path, found: Any, code: int, words: str
) -> None:
    python, asked = tmp_path / "venv" / "bin" / "python", tmp_path / "asked"
    python.parent.mkdir(parents=True)
    pip = "exit 0"
    if found == "no pip":
        pip = "exit 1"
    elif found not in (None, "no venv"):
        (tmp_path / "found").write_text(json.dumps({"dependencies": found, "fixes": []}))
    audit = AUDIT.format(found=tmp_path / "found", asked=asked)
    python.write_text(PYTHON.format(python=sys.executable, pip=pip, audit=audit))
    if found == "no venv":
        python.write_text("#!/bin/sh\necho why\necho\nexit 1\n")
    python.chmod(0o755)
    environment = {**os.environ, "ATAT_VENV": str(tmp_path / "venv"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [ROOT / "utils/audit.sh"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == code and words in done.stdout + done.stderr, done
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("tmp.*"))  # what it made is removed
    if found not in ("no pip", "no venv"):
        _every_pin_is_asked_about(asked)


def _every_pin_is_asked_about(asked: Path) -> None:
    pins = {
        line.split(";")[0].split("#")[0].strip()
        for name in ("requirements", "requirements-nodeps", "constraints")
        for line in (ROOT / "tools" / f"{name}.txt").read_text().splitlines()
        if "==" in line.split("#")[0].split(";")[0]
    }
    lines = asked.read_text().split()
    assert len(lines) == len(set(lines))
    plain = {re.sub(r"\[.*\]", "", pin) for pin in pins}
    assert set(lines) <= plain and lines
    if (asked.parent / "found").exists():
        assert set(lines) == plain
