"""Moonshine's speech encoder (Jeffries et al. 2024) through onnxruntime.

Three convolutions over the waveform (strides 64, 3 and 2) and a transformer with rotary positions:
a state of 288 values every 384 samples (24 ms). The published weights are 8-bit in places, with
scales that are computed from the whole input: it gives the same for a recording only if that is
encoded alone and without padding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from atat.base import digests, extras, onnx_files
from atat.base.encoder_files import Origin, read_origin
from atat.base.errors import InputError
from atat.speech import audio, convolutions

FILE = "encoder_model.ort"
# Kernel and stride of each convolution, in its inputs.
CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))


class Moonshine:
    """A `atat.speech.frontend.Frontend` of the files in a folder."""

    dim = 288
    frame_shift = convolutions.shift(CONVOLUTIONS) / audio.SAMPLE_RATE
    shortest = convolutions.shortest(CONVOLUTIONS)
    longest = 0
    num_layers = 1
    within = False

    def __init__(self, name: str, folder: Path, threads: int = 1) -> None:
        """Raises InputError if the file is missing, is not the one that was fetched, or is not what
        onnxruntime can read."""
        origin = read_origin(name, folder)
        _check_digest(folder / FILE, origin)
        self.origin = origin
        self.kind = origin.kind
        self._session = open_session(folder / FILE, threads, origin.name)

    def num_frames(self, num_samples: int) -> int:
        """States of a recording."""
        return convolutions.outputs(CONVOLUTIONS, num_samples)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',) -> states (T, 288)."""
        if len(samples) < self.shortest:
            return np.zeros((0, self.dim), np.float32)
        inputs = {
            "input_values": samples[None].astype(np.float32, copy=False),
            "attention_mask": np.ones((1, len(samples)), np.int64),
        }
        (states,) = self._session.run(["last_hidden_state"], inputs)
        return states[0]


def _check_digest(path: Path, origin: Origin) -> None:
    fix = f"get it again: atat encoder get {origin.name} --again"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {fix}")
    if digests.of_file(path) != origin.sha256:
        raise InputError(f"{path}: it has changed since it was fetched; {fix}")


def open_session(path: Path, threads: int, name: str) -> Any:
    """A file of an encoder's, to be run by so many threads; InputError if it cannot be read."""
    with extras.needed("encoders", by=f"the encoder {name}"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return session(path, options, name)


def session(path: Path, options: Any, name: str, fix: str = "") -> Any:
    """A file in onnxruntime, by default one of an encoder; InputError if it cannot be read.

    fix: what to do then; by default the encoder is to be got again.
    """
    import onnxruntime

    options.log_severity_level = 4
    try:
        onnx_files.refuse_other_files(path)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except InputError:
        raise
    except Exception as error:  # its own classes have no public base but Exception
        first = str(error).splitlines()[0]
        raise InputError(
            f"{path}: onnxruntime cannot read it ({first}); "
            f"{fix or f'get it again: atat encoder get {name} --again'}"
        ) from None
