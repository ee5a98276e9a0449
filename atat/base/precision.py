"""The precision of matrix products: fp32 everywhere, or bf16 where the hardware supports it.

bf16 halves the bits of a number. A processor or GPU that multiplies in bf16 is up to twice as fast;
one that does not has to convert the numbers around every product, which on a CPU took ten times as
long as fp32. `auto` is bf16 where the hardware has it and fp32 elsewhere.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atat.base.errors import InputError
from atat.base.processor import processor_facts

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)
CHOICES = ("auto", "fp32", "bf16")
# Names in /proc/cpuinfo of instructions that multiply in bf16. AVX-512 alone is not among them:
# with it alone, oneDNN emulates bf16 at half of fp32's speed.
X86, ARM = ("amx_bf16", "avx512_bf16"), ("bf16",)
# oneDNN can be told to use older instructions; these of its instruction sets multiply in bf16.
CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # the first one that is set counts
CAPS_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")


@dataclass(frozen=True)
class Resolved:
    """A precision, and why it was chosen."""

    name: Literal["fp32", "bf16"]
    reason: str
    slow: bool = False  # bf16 was asked for where it is emulated

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def resolve(wanted: str, device: str | torch.device = "cpu", why: str = "asked for") -> Resolved:
    """The precision for `wanted` (auto, fp32, bf16) on a device, with the reason.

    why: the reason to give for fp32 or bf16. Raises InputError for any other name.
    """
    if wanted not in CHOICES:
        raise InputError(f"precision is {wanted!r}; expected one of {', '.join(CHOICES)}")
    if wanted == "fp32":
        return Resolved("fp32", why)
    found, reason = has_bf16(device)
    if wanted == "auto":
        return Resolved("bf16" if found else "fp32", reason)
    return Resolved("bf16", reason if found else f"{why}, but {reason}", slow=not found)


def announce(resolved: Resolved) -> None:
    """Log the precision; a warning where it makes the work slow."""
    if resolved.slow:
        logger.warning(
            "precision %s: it is emulated and may take ten times as long as fp32; `auto` chooses "
            "by the hardware",
            resolved,
        )
    else:
        logger.info("precision %s", resolved)


def has_bf16(device: str | torch.device = "cpu") -> tuple[bool, str]:
    """Whether a device multiplies in bf16 in hardware, and with what, or why not."""
    kind = str(device).split(":")[0]
    if kind == "cuda":
        return _gpu_has_bf16()
    if kind != "cpu":
        return False, f"nothing is known about bf16 on {kind}"
    facts = processor_facts()
    flags = set(f"{facts.get('flags', '')} {facts.get('Features', '')}".split())
    if not flags:
        return False, "the system does not say which instructions the processor has"
    found = [flag for flag in (*X86, *ARM) if flag in flags]
    if not found:
        return False, f"the processor has none of {', '.join((*X86, *ARM))}"
    cap = next((name for name in CAPS if os.environ.get(name)), None)
    if cap and not any(part in os.environ[cap].upper() for part in CAPS_WITH_BF16):
        return False, f"{cap}={os.environ[cap]} keeps oneDNN from the processor's {found[0]}"
    return True, f"the processor has {found[0]}"


def _gpu_has_bf16() -> tuple[bool, str]:
    import torch

    # Otherwise torch says yes to every GPU, since it can emulate it.
    found = torch.cuda.is_bf16_supported(including_emulation=False)
    name = torch.cuda.get_device_name()
    return found, f"{name} {'has' if found else 'has no'} products in bf16"
