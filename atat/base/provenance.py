"""Where a result came from: commit, command, hardware, versions. Knows nothing of the result."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from atat.base.processor import processor_facts

VECTORS = (("amx_tile", "AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))
PACKAGES = ("torch", "torchaudio", "sentencepiece", "transformers", "espnet", "numpy")


def provenance() -> dict[str, Any]:
    """Everything needed to repeat what this process is doing, as plain JSON values."""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "command": command(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def commit() -> str:
    """The commit of the source tree, with `+changes` when files differ from it."""
    root = Path(__file__).resolve().parents[2]
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if dirty else head


def command() -> str:
    """The command line of this process, as one would type it in the recipe's folder.

    Of paths outside that folder only the end is kept: where a user keeps corpora is private.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        start = ["atat"] if spec.name.startswith("atat.") else ["python", "-m", spec.name]
    else:
        start = ["atat"] if Path(sys.argv[0]).name == "atat" else ["python", sys.argv[0]]
    return " ".join(shlex.quote(outside_shortened(part)) for part in start + sys.argv[1:])


def outside_shortened(argument: str, parts: int = 1) -> str:
    """An argument unchanged; of a path outside the current folder, only its last `parts`."""
    if not argument.startswith(("/", "..")):
        return argument
    path = Path(os.path.abspath(argument))
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return "/".join(["...", *path.parts[1:][-parts:]])


def hardware() -> str:
    """Processor, its vector instructions, number of usable cores, and the GPU where torch sees one.

    Two processors of the same name ("AMD EPYC") with different instructions add in a different
    order, and a training's last digits differ. The GPU is included if torch is loaded.
    """
    vectors = vector_instructions(processor_facts().get("flags", "").split())
    kind = f"{_processor()} ({vectors})" if vectors else _processor()
    text = f"{kind}, {len(os.sched_getaffinity(0))} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        text += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return text


def vector_instructions(flags: Iterable[str]) -> str:
    """The vector instructions of an x86 processor, from its flags: "AVX2", or "AVX-512, bf16"."""
    known = set(flags)
    widest = next((name for flag, name in VECTORS if flag in known), "")
    bf16 = ", bf16" if known & {"avx512_bf16", "amx_bf16"} else ""
    return widest + bf16


def _processor() -> str:
    return processor_facts().get("model name") or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
