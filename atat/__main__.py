"""The command `atat`: one name for everything that is done at a command line.

    atat --help                 the map of all commands
    atat train --help           what one of them reads and writes, with an example
    python -m atat train ...    the same, where the environment's bin is not on the PATH

Knows the name and one line of each command, and the module that does it; only that module is
imported, so that `--help` and mistakes are answered at once.
"""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

from atat import __version__
from atat.base import cli, suggest
from atat.base.errors import InputError


class Command(NamedTuple):
    """A command: the module whose `main` it is, and what it does in one line."""

    module: str
    summary: str


COMMANDS: dict[str, dict[str, Command]] = {
    "Data": {
        "datadir": Command("datadir.commands", "check, repair, cut and join Kaldi data dirs"),
        "grammar": Command("datadir.grammar_command", "sentences of a grammar as text data"),
        "features": Command("datadir.features", "recordings to filterbanks in Kaldi arks"),
        "cmvn": Command("datadir.cmvn", "mean and variance of features"),
        "encoder": Command("prepare.encoder_command", "get pretrained encoders and voices, once"),
        "align": Command("prepare.align", "word times (ctm), and how good they are"),
        "cast": Command("prepare.spoken", "sentences for the speakers of a voices file"),
        "synthesis": Command(
            "prepare.synthesis", "speak the text of data dirs with synthetic voices"
        ),
        "confusions": Command(
            "systems.joint.confusions_command", "which phones a model hears for which"
        ),
        "tokenizer": Command("text.tokenizer_command", "learn word pieces and tags, or add tags"),
    },
    "Models": {
        "train": Command("engine.train", "train a model as a YAML file says"),
        "pack": Command("engine.pack", "make a model from a training's checkpoints at any time"),
        "card": Command("engine.card_command", "a model's card: data, licences, what it scored"),
        "quantize": Command("engine.quantize", "a model with weights of 8 bits, for a CPU"),
        "export": Command("engine.export", "a model for devices, which runs without torch"),
        "decode": Command("engine.decode", "understand or transcribe a data dir with a model"),
        "answer": Command(
            "systems.speechbert.answer_command",
            "answer the questions about a data dir's recordings",
        ),
    },
    "Use": {
        "recognize": Command("apps.recognize", "understand recordings, sentences, the microphone"),
        "calibrate": Command("apps.calibrate", "fit how sure a model's answers are, on dev data"),
        "publish": Command("apps.publish", "upload a model to the Hugging Face hub, in private"),
        "serve": Command(
            "apps.server.command", "a page to speak to a model, and JSON for programs"
        ),
    },
    "Two-stage systems": {
        "transcribe": Command("prepare.transcribe", "transcribe with a recogniser or a model"),
        "heard": Command("scoring.transcribed", "a data dir of the words that a recogniser heard"),
        "pipeline": Command(
            "systems.tagger.pipeline", "tag a recogniser's words with intent and slots"
        ),
    },
    "Results": {
        "score": Command(
            "scoring.score_command", "score what was decoded, or compare two decodings"
        ),
        "score_answers": Command(
            "scoring.answers", "score answers to questions about spoken paragraphs"
        ),
        "frames": Command(
            "systems.lugosch.frames_command", "phones and words per frame of an acoustic model"
        ),
        "results": Command("scoring.results", "RESULTS.md from scored folders"),
        "report": Command("apps.report.command", "a page of pictures about experiments"),
    },
    "Recipes": {
        "conf_copy": Command(
            "prepare.conf_copy", "training confs for other data, or with other values"
        ),
        "cluster": Command("base.cluster_command", "command lines as tasks of a Slurm cluster"),
        "in_turn": Command("apps.in_turn", "command lines one after the other in one process"),
        "miniature_conf": Command("systems.joint.miniature_conf", "training confs of a tiny model"),
        "miniature_bert": Command("prepare.miniature_bert", "a tiny BERT from scratch"),
        "miniature_standin": Command(
            "prepare.miniature_standin", "a domain to start a miniature from"
        ),
    },
}

_ANEW = [[name] for name in COMMANDS["Use"]]  # begin anew; all others keep what they have finished


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script: every mistake is one line and exit code 2."""
    arguments = sys.argv[1:] if argv is None else argv
    cli.run(lambda: _run(arguments), continues=arguments[:1] not in _ANEW)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    name, *rest = arguments
    if name == "--version":
        print(f"atat {__version__}")
        return
    command = {n: c for group in COMMANDS.values() for n, c in group.items()}.get(name)
    if command is None:
        raise InputError(_unknown(name))
    importlib.import_module(f"atat.{command.module}").main(rest)


def overview() -> str:
    """The map: every command in its group, a line each."""
    lines = ["usage: atat COMMAND [options]; atat COMMAND --help says more", ""]
    for title, commands in COMMANDS.items():
        lines.append(f"{title}:")
        lines += [f"  {name:15} {command.summary}" for name, command in commands.items()]
        lines.append("")
    lines.append("A recipe calls them in order: see egs/*/run.sh, or README.md.")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    names = [name for commands in COMMANDS.values() for name in commands]
    return f"`atat {name}` is not a command; {suggest.among(name.replace('-', '_'), names)}"


if __name__ == "__main__":
    main()
