"""The acoustic model of Lugosch et al. 2019 out of a packed model of whichever system has one."""

from __future__ import annotations

from pathlib import Path

from atat.base.errors import InputError
from atat.engine import model_folder
from atat.nn.acoustic import AcousticModel


def acoustic_of(folder: str | Path) -> AcousticModel:
    """The acoustic model of a packed model, in evaluation mode, on the CPU.

    Its heads are None where the packed model has none. Raises InputError for a folder that is no
    packed model, one without an acoustic model, and one with weights of 8 bits.
    """
    packed = model_folder.load(folder)
    found = getattr(packed.model, "acoustic", None)
    if not isinstance(found, AcousticModel):
        raise InputError(
            f"{folder}: a model of the system `{packed.system}`, in which there is no acoustic "
            "model; expected a model of phones and words (system `lugosch`, task `acoustic`)"
        )
    model_folder.refuse_int8(packed, folder)
    return found


def begin_as(own: AcousticModel, start: AcousticModel) -> None:
    """Give a new acoustic model the weights of another; those of heads only where it has some."""
    names = own.state_dict().keys()
    own.load_state_dict({k: value for k, value in start.state_dict().items() if k in names})
