"""Settings of CPU and GPU for a process that trains or decodes.

Those of the CPU were measured on 2 cores and cost no precision. Freed memory is kept instead of
given back (otherwise each step faults in its tensors' pages again: a third of the time). Threads
that wait for each other spin for a moment and then sleep. On processors where MKL is slow, oneDNN
computes the matrix products. On a GPU float32 is float32.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from atat.base.processor import processor_facts

# glibc's names for its settings, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1  # give nothing back, however much is free at the top
# How often a waiting thread spins before it sleeps. A long search in bf16 takes 52 ms an utterance
# without spinning, since every product pays for falling asleep and waking; 31 with 1,000 spins,
# 26 with libgomp's own 300,000. But beside another busy process a spinning thread takes the core
# from the one it waits for: there it is 47, 69 and, with 100,000, 850 ms.
SPINS = 1000
PAD = 256 * 2**20  # bytes asked of the system at a time


def tune() -> None:
    """Apply the settings to this process; the user's environment variables win.

    Call this before torch is loaded, which is when it reads how threads wait.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    _keep_memory()
    choose_products()


def _keep_memory() -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library than glibc
    for name, setting, value in (
        ("MALLOC_MMAP_MAX_", M_MMAP_MAX, 0),
        ("MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD, NEVER),
        ("MALLOC_TOP_PAD_", M_TOP_PAD, PAD),
    ):
        tunable = "glibc.malloc." + name[len("MALLOC_") :].rstrip("_").lower()
        if name not in os.environ and tunable not in os.environ.get("GLIBC_TUNABLES", ""):
            mallopt(setting, value)


def choose_products() -> None:
    """Let oneDNN compute float32 matrix products where it is faster and as exact as MKL.

    torch uses MKL, which on AMD's processors reaches less than half of oneDNN's speed (75 and
    170 GFLOP/s on one core of an EPYC). The only public way to oneDNN is a setting that also allows
    it to round to bf16 first. It does so on processors with AMX; hence the trial. (The better known
    `torch.set_float32_matmul_precision` would change the products of a GPU, too.)
    """
    import torch

    if processor_facts().get("vendor_id") != "AuthenticAMD":
        return
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    if not _products_are_exact():
        products.fp32_precision = before


def keep_float32() -> None:
    """Let a GPU compute convolutions and recurrent layers of float32 in float32, as products are.

    Left alone, cuDNN rounds what it multiplies to TF32, with 10 bits of mantissa. What is to be
    bf16 (autocast) is so all the same. (After the newer way to say it,
    `torch.backends.cudnn.conv.fp32_precision`, torch 2.14 can export no graph: `torch.export` reads
    this one and finds that the two differ.)
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False


def _products_are_exact() -> bool:
    """Whether a float32 product has the error of float32; bf16 has a thousand times as much."""
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(128, 128, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    return float((a @ b - exact).abs().max() / exact.abs().max()) < 1e-5


@contextmanager
def threads(count: int) -> Iterator[None]:
    """What this thread of the program computes within takes so many; those that run, as before.

    One that uses torch for the first time meanwhile begins with this number: torch gives it the
    last one that was set.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_and_processes(device: str, nj: int | None) -> tuple[str, int]:
    """The device of --device, of which `auto` is a GPU where there is one; and how many processes
    of --nj share the work on it: one on a GPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    # As many as torch would use threads, which OMP_NUM_THREADS limits.
    return device, 1 if device != "cpu" else nj or torch.get_num_threads()
