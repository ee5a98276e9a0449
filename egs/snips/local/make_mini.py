"""A made-up miniature of SNIPS smart lights, in the layout of the real one.

    python local/make_mini.py --out data_mini/corpus

Six synthetic speakers say one sentence each in turn; the far field is the same speech, softer, with
an echo and noise. What is odd in the published files is odd here, too: a sentence with a line
break, recordings whose text differs from the sentence in case, sentences that differ in a full
stop only, numbers in digits. Planted faults, in both fields: a sentence without a recording, and
a recording that metadata.json names but that is not there (1310.wav in the real corpus). It shows
that the recipe runs; nothing is learned.
"""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from smart_lights import AUDIO, DATASET, FIELDS, METADATA

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import licence
from atat.prepare.miniature_speech import Line, speak
from atat.speech import audio

SPEAKERS = 6
ROOMS = ("kitchen", "bedroom", "living room", "garage")
COLORS = ("red", "blue", "green", "pink")
LEVELS = ("twenty", "thirty nine", "20", "fifty")
TEMPLATES = {  # {room}, {color} and {brightness} become slots
    "DecreaseBrightness": ("Dim the lights in the {room}", "Make the {room} darker please"),
    "IncreaseBrightness": ("Turn up the lights in the {room}.", "It's too dark in the {room}"),
    "SetLightBrightness": (
        "Set the {room} lights to {brightness} percent",
        "Change the brightness to {brightness}% in the {room}",
    ),
    "SetLightColor": ("Make the {room} lights {color}", "I want {color} light in the {room}"),
    "SwitchLightOff": ("Turn the lights off in the {room}", "Switch off the {room} lights"),
    "SwitchLightOn": ("Turn on the lights in the {room}", "Can you turn on the {room} lights?"),
}
WITHOUT_SLOTS = (
    ("SwitchLightOn", "Turn on the lights\n"),
    ("SwitchLightOff", "Lights off"),
    ("DecreaseBrightness", "Less light please."),
    ("DecreaseBrightness", "Less light please"),
)
NOT_RECORDED = 5  # number of a sentence
NOT_THERE = "7.wav"
UPPER_CASE = (2, 11)  # recordings
ECHO, LOUDNESS, NOISE = 0.04, 0.3, 0.002  # s; share of the amplitude; amplitude


def sentences() -> list[tuple[str, list[dict[str, str]]]]:
    """(intent, the parts of its `data`) of every sentence."""
    made = []
    for intent, templates in TEMPLATES.items():
        for template in templates:
            for room, color, level in zip(ROOMS, COLORS, LEVELS):
                values = {"room": room, "color": color, "brightness": level}
                made.append((intent, parts(template, values)))
    made += [(intent, [{"text": text}]) for intent, text in WITHOUT_SLOTS]
    return made


def parts(template: str, values: dict[str, str]) -> list[dict[str, str]]:
    """A template with its slots as the corpus marks them."""
    found = []
    for piece in template.replace("{", "|{").replace("}", "|").split("|"):
        name = piece.removeprefix("{")
        if name != piece:
            found.append({"text": values[name], "entity": name, "slot_name": name})
        elif piece:
            found.append({"text": piece})
    return found


def dataset() -> dict[str, Any]:
    """dataset.json."""
    intents: dict[str, Any] = {}
    for intent, data in sentences():
        intents.setdefault(intent, {"utterances": []})["utterances"].append({"data": data})
    return {"intents": intents, "entities": {}, "language": "en"}


def metadata() -> dict[str, Any]:
    """speech_corpus/metadata.json: one recording for each sentence but one."""
    recordings: dict[str, Any] = {}
    for number, (_, data) in enumerate(sentences()):
        if number == NOT_RECORDED:
            continue
        text = "".join(part["text"] for part in data)
        worker = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"worker {number % SPEAKERS}"))
        index = len(recordings)
        recordings[str(index)] = {
            "filename": f"{index}.wav",
            "worker": {"id": worker},
            "text": text.upper() if index in UPPER_CASE else text,
        }
    return recordings


def far(samples: np.ndarray, seed: int) -> np.ndarray:
    """Speech (T,) as from another corner of a room."""
    delay = round(ECHO * audio.SAMPLE_RATE)
    echo = np.concatenate([np.zeros(delay, np.float32), samples[:-delay]])
    noise = np.random.default_rng(seed).normal(0, NOISE, len(samples))
    return (LOUDNESS * (samples + 0.5 * echo) + noise).astype(np.float32)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    options = parser.parse_args(argv)
    recordings = metadata()
    close, away = (options.out / FIELDS[field] for field in ("close", "far"))
    speak(
        [
            Line(close / AUDIO / one["filename"], one["text"].lower(), int(number) % SPEAKERS)
            for number, one in recordings.items()
        ]
    )
    for number, one in recordings.items():
        samples = audio.load(close / AUDIO / one["filename"])
        audio.save(away / AUDIO / one["filename"], far(samples, int(number)))
    for folder in (close, away):
        (folder / AUDIO / NOT_THERE).unlink()
        for name, content in ((DATASET, dataset()), (METADATA, recordings)):
            with atomic_write(folder / name) as stream:
                json.dump(content, stream, indent=1)
    licence.write(options.out, licence.OWN)
    print(f"{options.out}: {len(recordings)} recordings in each field, {SPEAKERS} speakers")


if __name__ == "__main__":
    cli.run(main)
