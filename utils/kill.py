"""Kills commands at random moments, runs them again, and compares what they have made in the end.

    utils/in_environment.sh python utils/kill.py --kills 20

A tiny corpus and a tiny model are made and trained, then each command of `COMMANDS` is run to its
end once. After that it is started again and again in an empty folder, with SIGKILL to its whole
process group at a random moment, until it has been killed --kills times over all rounds; each
round ends with a run that is left alone. Its files must then be those of the undisturbed one, bit
for bit. Prints kills and differences; ends with 1 if there is one. `tests/test_killed.py` kills at
chosen steps.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sound
import torch
import yaml

from atat.datadir import ark, tables
from atat.engine import checkpoint

ROOT = Path(__file__).resolve().parent.parent
IN_A_ROUND = 4  # kills before a run is left alone
# What is not the same in two undisturbed runs, or says when and how it was made.
VARIABLE = (
    *("*.lock", ".*", "train.log", "events.*", "README.md", "about.json", "SHA256SUMS"),
    *("train.json", "decode.json", "*.made", "*.partial*"),
)

CONF = {
    "precision": "fp32",
    "tokenizer": "tokenizer",
    "cmvn": "cmvn.ark",
    "steps": 30,
    "checkpoint_every": 5,
    "workers": 1,
    "batch": {"examples": 12, "block": 3},
    "optim": {"schedule": "linear", "peak": 0.004, "warmup": 20},
    "train": [{"data": "plain", "task": task} for task in ("asr", "slu", "nlu")],
    "valid": {"sources": [{"data": "plain", "task": "slu"}], "every": 10, "decode": 4},
    "model": {
        "width": 32,
        "audio_encoder": {
            "mel_bins": sound.MELS, "conv_channels": [4, 8], "layers": 2, "heads": 2,
            "feed_forward": 48, "time_pool": [2, 2], "freq_pool": [2, 2],
        },
        "text_encoder": {"kind": "small", "layers": 2, "heads": 2, "feed_forward": 48},
        "decoder": {"layers": 2, "heads": 2, "feed_forward": 48},
    },
}  # fmt: skip
COMMANDS = {
    "train": "train --config conf.yaml --out {out}",
    "decode": "decode --model exp/model --data plain --task slu --out {out} --nj 2 --beam 2",
    "quantize": "quantize --model exp/model --out {out}/model",
    "pack": "pack exp --average 2 --out {out}/model",
    "export": "export exp/model --onnx --out {out}/device",
    "features": "features --data {out}/data --arks {out}/lfb --num_mels 16 --nj 2",
    "tokenizer": "tokenizer train --data plain --out {out}/tokenizer --vocab_size 320",
}


def atat(command: str, folder: Path, after: float | None = None) -> tuple[int, float]:
    """Run a command in a folder; SIGKILL to its group `after` seconds. Its code and its seconds."""
    begun = time.monotonic()
    with open(folder / "output", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "atat", *command.split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            stdout=output,
            stderr=output,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, time.monotonic() - begun


def make_corpus(folder: Path) -> None:
    """A data dir, a tokenizer, statistics, a conf and a trained model."""
    sound.plain(folder, 40)
    (folder / "conf.yaml").write_text(yaml.safe_dump(CONF))
    for command in (
        "tokenizer train --data plain --out tokenizer --vocab_size 320",
        "cmvn --data plain --out cmvn.ark",
        "train --config conf.yaml --out exp",
    ):
        code, _ = atat(command, folder)
        if code:
            sys.exit(f"{command}: {(folder / 'output').read_text()[-2000:]}")


def begin(folder: Path, out: Path) -> None:
    """An empty folder but for what a command changes in place."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "plain", out / "data")
    for name in ("feats.scp", "utt2num_frames", "utt2dur"):
        (out / "data" / name).unlink()


def contents(out: Path) -> dict[str, str]:
    """The digest of each file that is the same in every undisturbed run.

    Of features the numbers count, not their place in an ark; of checkpoints all but the time.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if not path.is_file() or any(path.match(pattern) for pattern in VARIABLE):
            continue
        if path.name == "feats.scp":
            for key, place in tables.read_table(path).items():
                found[f"{name} {key}"] = hashlib.sha256(ark.read(place, key).tobytes()).hexdigest()
        elif path.suffix == ".pt":
            state = checkpoint.load(path)
            for key in ("wall_seconds", "audio_seconds"):
                state.get("progress", {}).pop(key, None)
            found[name] = hashlib.sha256(repr(_plain(state)).encode()).hexdigest()
        elif path.parent.name != "lfb":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _plain(value: Any) -> Any:
    """A state with the bytes of its tensors."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.contiguous().view(-1).numpy().tobytes()
    if isinstance(value, dict):
        return [(key, _plain(value[key])) for key in sorted(value, key=repr)]
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def kill(name: str, folder: Path, kills: int, rng: random.Random) -> list[str]:
    """Kill a command so many times; what was wrong, a line each."""
    out = folder / "out"
    command = COMMANDS[name].format(out="out")
    begin(folder, out)
    code, seconds = atat(command, folder)
    if code:
        return [f"{name}: ended with {code}: {(folder / 'output').read_text()[-1000:]}"]
    whole, done, wrong = contents(out), 0, []
    while done < kills:
        begin(folder, out)
        for _ in range(min(IN_A_ROUND, kills - done)):
            code, _ = atat(command, folder, after=rng.uniform(0.1, 1.0) * seconds)
            done += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                wrong.append(f"{name}: a run after a kill ended with {code}")
        code, _ = atat(command, folder)
        found = contents(out)
        if code:
            wrong.append(f"{name}: the last run ended with {code}")
        for path in sorted(whole.keys() | found.keys()):
            if whole.get(path) != found.get(path):
                wrong.append(f"{name}: {path} differs, after {done} kills")
    print(
        f"{name}: {done} kills, {seconds:.1f} s undisturbed, {len(wrong)} differences", flush=True
    )
    return wrong


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("commands", nargs="*", help=f"some of {', '.join(COMMANDS)}; all of them")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    chosen: Sequence[str] = options.commands or list(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="atat-kill-") as name:
        folder = Path(name)
        make_corpus(folder)
        wrong = [line for one in chosen for line in kill(one, folder, options.kills, rng)]
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
