"""Command lines as tasks of a cluster.

    printf '%s\\0' "atat train ..." "atat train ..." | atat cluster run cluster.yaml --kind train

What recipes do with --cluster. `atat.base.cluster` explains the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from atat.base import cli, cluster, command_lines

EXAMPLE = """An example of cluster.yaml; a key that is left out has the value shown for it:

  kind: slurm              # or local: processes of this machine, to rehearse
  folder: cluster          # logs and results of tasks; on the disk that all machines see
  setup: []                # lines of shell before each task: [module load cuda]
  data:                    # features, alignments, synthetic speech: --nj tasks at a time
    partition: null        # of Slurm; so is account
    minutes: 240
    memory_gb: null
    cpus: 1                # of each process
    options: {}            # further options of sbatch: {constraint: a100, qos: high}
  train:                   # each training of a stage
    machines: 1
    gpus: 0                # of each machine; a process for each, torch's ranks
    processes: null        # of each machine, if not one a GPU
  decode:                  # each decoding of a stage
    at_once: 100           # tasks of an array at a time"""


def main(argv: list[str] | None = None) -> None:
    """Run `atat cluster`; raises InputError for wrong settings, TaskFailed if a task fails."""
    parser = cli.Parser(
        prog="atat cluster",
        description=cli.guide(
            "Work on many machines: Slurm.",
            "atat cluster run --help",
            reads="a file of settings.",
            writes="what the commands write, and their logs.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="Run commands as tasks of one array, and wait for them",
        description=cli.guide(
            "Run command lines as the tasks of one array, and wait until all have ended.",
            "atat cluster run cluster.yaml --kind train --commands commands.txt",
            reads="SETTINGS; the command lines, one a line, or each ended by a zero byte.",
            writes="what the commands write; their logs, in `folder` of the settings. Ctrl-C "
            "cancels them; called again, commands of atat continue.",
        )
        + "\n\n"
        + EXAMPLE,
        formatter_class=cli.HelpFormatter,
    )
    run.add_argument("settings", metavar="SETTINGS", type=Path, help="YAML file")
    run.add_argument(
        "--kind",
        choices=get_args(cluster.Kind),
        required=True,
        help="which share of the cluster each command gets",
    )
    run.add_argument(
        "--commands", metavar="FILE", default="-", help="file of the command lines; - is stdin"
    )
    options = parser.parse_args(argv)
    settings = cluster.read(options.settings)
    cluster.run_commands(settings, options.kind, command_lines.read(options.commands))
