"""The processor of this machine, and its weaknesses that other modules must know.

Reads /proc/cpuinfo and changes nothing; `machine` sets a process up.
"""

from __future__ import annotations


def sums_of_int8_overflow() -> bool:
    """Whether the processor adds 8-bit products in 16 bits: x86 without the VNNI instructions.

    On these, torch's kernels want activations in 7 bits (its quantisation observers do the same).
    """
    flags = processor_facts().get("flags", "").split()
    return "sse2" in flags and not {"avx512_vnni", "avx_vnni"} & set(flags)


def processor_facts() -> dict[str, str]:
    """What Linux reports of the first core ("model name", "vendor_id", ...); empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            first = stream.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
