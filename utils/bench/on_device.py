"""Answers to recordings in a process of its own, as a program on a device would: rows_runtime.py
starts it and looks at it from outside.

    python on_device.py '{"system": "runtime", "model": "DIR", "options": {}}' a.wav b.wav ...

system: runtime (an exported model), torch (a packed model) or pocketsphinx (words only). Writes two
lines of JSON: after the first answer the seconds of the processor since the process began; after
the last one those of the recordings but the first, the most memory held, and all answers.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = Callable[[str], str]


def runtime(model: str, options: dict[str, Any]) -> Answer:
    from atat.runtime import Recognizer

    recognizer = Recognizer.load(model, longest=0, **options)
    return lambda wav: recognizer(wav).text


def torch(model: str, options: dict[str, Any]) -> Answer:
    import torch

    from atat import Recognizer

    torch.set_num_threads(1)
    # As the runtime: no second search for the transcript.
    recognizer = Recognizer.load(model, longest=0, transcribe=False, precision="fp32", **options)
    return lambda wav: recognizer(wav).text


def pocketsphinx(model: str, options: dict[str, Any]) -> Answer:
    """model: nothing; options: `language_model` and perhaps `dictionary`."""
    from atat.datadir.kaldi_dir import Utterance
    from atat.prepare import sphinx

    def words(wav: str) -> str:
        (found,) = sphinx.hear(sphinx.jobs_for([Utterance("a", "a", wav=wav)], **options))
        return found.text

    return words


SYSTEMS = {"runtime": runtime, "torch": torch, "pocketsphinx": pocketsphinx}


def most_memory() -> float:
    """MiB. What the system tells a parent of a child includes the parent, which it is copied of."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status: memory is measured on Linux")


def main() -> None:
    asked, *wavs = sys.argv[1:]
    system = json.loads(asked)
    answer = SYSTEMS[system["system"]](system["model"], system["options"])
    answers = [answer(wavs[0])]
    print(json.dumps({"seconds": time.process_time()}), flush=True)
    start = time.process_time()
    answers += [answer(wav) for wav in wavs[1:]]
    found = {"seconds": time.process_time() - start, "mib": most_memory(), "answers": answers}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
