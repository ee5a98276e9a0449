"""Runs a command and writes the most memory that a process of it held, in KiB, into a file.

    python memory_of.py FILE COMMAND ...

A program of its own because the kernel counts a process's memory from before it became the command:
what the benchmark, which has models in memory, starts itself would seem as large as the benchmark.
"""

import resource
import subprocess
import sys

status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as stream:
    stream.write(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\n")
sys.exit(status)
