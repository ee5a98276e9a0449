"""What a process that trains or decodes on a CPU asks of its machine, before torch is loaded.

Both settings were measured on 2 cores and change no result: freed memory is kept instead of
given back (each step would otherwise fault its tensors' pages in anew: a third of the time), and
threads that wait for each other sleep instead of spinning (beside another busy process the
spinning makes a step many times slower).
"""

from __future__ import annotations

import ctypes
import os

# glibc's names for its settings, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEEP = 2**31 - 1  # bytes: the largest value the call takes
PAD = 256 * 2**20  # bytes asked of the system at a time


def tune() -> None:
    """Apply the settings to this process; whatever the user's environment says wins.

    How threads wait is read when torch is loaded: call this before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library than glibc
    for name, setting, value in (
        ("MALLOC_MMAP_MAX_", M_MMAP_MAX, 0),
        ("MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD, KEEP),
        ("MALLOC_TOP_PAD_", M_TOP_PAD, PAD),
    ):
        if name not in os.environ:
            mallopt(setting, value)
