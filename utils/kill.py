"""Kills commands at random moments, runs them again, and compares what they have made in the end.

    utils/in_environment.sh python utils/kill.py --kills 20
    utils/in_environment.sh python utils/kill.py --kills 20 train
    utils/in_environment.sh python utils/kill.py --kills 12 egs/template egs/snips

A tiny corpus and a tiny model are made and trained, then each command of `COMMANDS` is run to its
end once. After that it is started again and again in an empty folder, with SIGKILL to its whole
process group at a random moment, until it has been killed --kills times over all rounds; each
round ends with a run that is left alone. Its files must then be those of the undisturbed one, bit
for bit. Prints kills and differences; ends with 1 if there is one. `tests/test_killed.py` kills at
chosen steps.

--folder keeps the folder, with its copy of the repository, and works in it again if it is there.
One that another commit has made is refused: its copy would be killed instead of what is here now.

A recipe is its miniature in a copy of the repository, and goes on after each kill. Its stages are
killed in turn, all of them if --kills is at least their number. Its table must be the undisturbed
one but for times, and so must models, hypotheses, features and the rest. No voice of piper takes
part: it draws its own noise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sound
import torch
import yaml

from atat.base import provenance
from atat.datadir import ark, tables
from atat.engine import checkpoint

ROOT = Path(__file__).resolve().parent.parent
IN_A_ROUND = 4  # kills before a run is left alone
# What is not the same in two undisturbed runs, or says when and how it was made.
VARIABLE = (
    *("*.lock", ".*", "train.log", "events.*", "README.md", "about.json", "SHA256SUMS"),
    *("train.json", "decode.json", "*.made", "*.partial*", "report.html", "synthesis.jsonl"),
)
MADE_BY = "made_by"  # a file in the folder of the work: the commit of the repository
WITHOUT_PIPER = "without_piper"  # folder of a module that stands for piper and cannot be imported
# What tables and scores say of times.
TIMES = re.compile(
    rb"[0-9,.]+ (s|min|h) of wall time|[0-9.]+ s per second of audio|, 2[0-9-]{9}$"
    rb'|"date": "[^"]*"',
    re.M,
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


@dataclass
class Work:
    """Something to be killed: its command, where it is called, what begins it anew and makes."""

    name: str
    command: Sequence[str]
    folder: Path
    made: Sequence[Path]
    begin: Callable[[], None]
    stages: bool = False  # whether it prints where stages begin, and goes on with the next


def run(
    command: Sequence[str], folder: Path, after: float | None = None, stage: int | None = None
) -> tuple[int, float]:
    """Run a command in a folder; SIGKILL to its group `after` seconds, counted from the beginning
    of a stage if one is given. Returns its code and its seconds."""
    begun, output = time.monotonic(), folder / "output"
    # A recipe puts its own repository first.
    path = str(ROOT if command[0] == sys.executable else folder / WITHOUT_PIPER)
    with open(output, "wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "TQDM_DISABLE": "1",
                "PYTHONPATH": path,
            },
            start_new_session=True,
            stdout=stream,
            stderr=stream,
        )
        try:
            while stage is not None and process.poll() is None:
                if f"=== stage {stage}:" in output.read_text():
                    break
                time.sleep(0.05)
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, time.monotonic() - begun


def atat(command: str) -> list[str]:
    """The words of a command of atat."""
    return [sys.executable, "-m", "atat", *command.split()]


def other_state(folder: Path) -> str:
    """Why what lies in a folder may not be of this repository as it is now; empty if it is.

    An empty folder is of it from now on.
    """
    record, now = folder / MADE_BY, provenance.commit()
    if not any(folder.iterdir()):
        record.write_text(now)
        return ""
    before = record.read_text().strip() if record.is_file() else "an unknown commit"
    if before == now and not now.endswith("+changes"):
        return ""
    return (
        f"what lies in {folder} was made by {before}, and this is {now}; remove it, or give "
        "another --folder"
    )


def make_corpus(folder: Path) -> None:
    """A data dir, a tokenizer, statistics, a conf and a trained model."""
    sound.plain(folder, 40)
    (folder / "conf.yaml").write_text(yaml.safe_dump(CONF))
    for command in (
        "tokenizer train --data plain --out tokenizer --vocab_size 320",
        "cmvn --data plain --out cmvn.ark",
        "train --config conf.yaml --out exp",
    ):
        code, _ = run(atat(command), folder)
        if code:
            sys.exit(f"{command}: {(folder / 'output').read_text()[-2000:]}")


def begin(folder: Path, out: Path) -> None:
    """An empty folder but for what a command changes in place."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "plain", out / "data")
    for name in ("feats.scp", "utt2num_frames", "utt2dur"):
        (out / "data" / name).unlink()


def command_work(name: str, folder: Path) -> Work:
    """One of COMMANDS, with the corpus in a folder."""
    out = folder / "out"
    command = atat(COMMANDS[name].format(out="out"))
    return Work(name, command, folder, [out], lambda: begin(folder, out))


def recipe_work(name: str, folder: Path) -> Work:
    """The miniature of a recipe, in a copy of the repository in a folder."""
    if not folder.exists():
        shutil.copytree(ROOT, folder, ignore=_not_copied, symlinks=True)
    recipe = folder / name
    (recipe / WITHOUT_PIPER).mkdir(exist_ok=True)
    (recipe / WITHOUT_PIPER / "piper.py").write_text("raise ImportError\n")
    made = [recipe / "data_mini", recipe / "exp_mini"]

    def empty() -> None:
        for one in made:
            shutil.rmtree(one, ignore_errors=True)

    command = ["./run.sh", "--mini", "--nj", "2", "--ngpu", "0", "--no_report"]
    return Work(name, command, recipe, made, empty, stages=True)


def _not_copied(folder: str, names: list[str]) -> list[str]:
    """What a clone has beside what is committed: recipes' data and models, environments, caches."""
    of_recipe = Path(folder).parent == ROOT / "egs"
    return [
        name
        for name in names
        if name in ("venv", "site", "__pycache__")
        or name.startswith(".")
        or (of_recipe and re.fullmatch("(data|exp)(_.*)?", name))
    ]


def contents(out: Path) -> dict[str, str]:
    """The digest of each file that is the same in every undisturbed run.

    Of features the numbers count, not their place in an ark; of checkpoints and tables all but the
    time.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out.parent))
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
            found[name] = hashlib.sha256(TIMES.sub(b"", path.read_bytes())).hexdigest()
    return found


def _plain(value: Any) -> Any:
    """A state with the bytes of its tensors."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.contiguous().view(-1).numpy().tobytes()
    if isinstance(value, dict):
        return [(key, _plain(value[key])) for key in sorted(value, key=repr)]
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def kill(work: Work, kills: int, rng: random.Random) -> list[str]:
    """Kill some work so many times; what was wrong, a line each."""
    name, output = work.name, work.folder / "output"
    work.begin()
    code, seconds = run(work.command, work.folder)
    if code:
        return [f"{name}: ended with {code}: {output.read_text()[-1000:]}"]
    stages = _stages(output.read_text()) if work.stages else {}
    whole = {key: value for out in work.made for key, value in contents(out).items()}
    print(f"{name}: {seconds:.1f} s undisturbed, {len(whole)} things compared", flush=True)
    killed: Counter[str] = Counter()
    wrong = []
    while killed.total() < kills:
        work.begin()
        for _ in range(min(kills if stages else IN_A_ROUND, kills - killed.total())):
            if stages:
                stage = list(stages)[killed.total() * len(stages) // kills]
                after = rng.uniform(0, stages[stage])
            else:
                stage, after = None, rng.uniform(0.1, 1.0) * seconds
            code, _ = run(work.command, work.folder, after, stage)
            if code == -signal.SIGKILL:
                killed["" if stage is None else f"stage {stage}"] += 1
            elif code:
                wrong.append(f"{name}: a run after a kill ended with {code}")
        code, _ = run(work.command, work.folder)
        found = {key: value for out in work.made for key, value in contents(out).items()}
        if code:
            wrong.append(f"{name}: the last run ended with {code}: {output.read_text()[-1000:]}")
        for path in sorted(whole.keys() | found.keys()):
            if whole.get(path) != found.get(path):
                wrong.append(f"{name}: {path} differs, after {killed.total()} kills")
        where = ", ".join(f"{count} in {place}" for place, count in killed.items() if place)
        where = f" ({where})" if where else ""
        print(f"{name}: {killed.total()} kills{where}, {len(wrong)} differences", flush=True)
    return wrong


def _stages(output: str) -> dict[int, float]:
    """The stages of a recipe, each with its seconds, from what it has printed."""
    ends = re.findall(r"^--- stage (\d+) took (?:(\d+) min )?(\d+) s", output, re.M)
    return {int(stage): 60 * int(minutes or 0) + int(rest) + 1 for stage, minutes, rest in ends}


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each command (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to work; kept, and used again by the same commit (default: a temporary one)",
    )
    parser.add_argument(
        "works",
        nargs="*",
        help=f"some of {', '.join(COMMANDS)}, or recipes, such as egs/template (default: those "
        "commands)",
    )
    options = parser.parse_args()
    rng = random.Random(options.seed)
    chosen: Sequence[str] = options.works or list(COMMANDS)
    wrong = []
    with ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="atat-kill-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        older = other_state(folder)
        if older:
            parser.error(older)
        if any(one in COMMANDS for one in chosen):
            make_corpus(folder)
        for one in chosen:
            if one in COMMANDS:
                work = command_work(one, folder)
            elif (ROOT / one / "run.sh").is_file():
                work = recipe_work(one, folder / "repository")
            else:
                parser.error(f"{one} is neither one of {', '.join(COMMANDS)} nor a recipe")
            wrong += kill(work, options.kills, rng)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
