"""Listens to the microphone, and answers whenever someone stops speaking.

Needs the package sounddevice (PortAudio), which is no part of the environment.
"""

from __future__ import annotations

import queue
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base.errors import InputError
from atat.text.understanding import Understanding

if TYPE_CHECKING:
    from atat.apps.recognizer import Recognizer

BLOCK = 0.1  # s of a chunk


def listen(
    recognizer: Recognizer,
    task: str,
    vad: str | Path | None,
    answer: Callable[[Understanding], None],
) -> None:
    """Answer until Ctrl-C; what was heard and being said then is answered, too.

    Raises InputError if there is no microphone, or nothing to read it with.
    """
    sounddevice = _sounddevice()
    try:
        rate = float(sounddevice.query_devices(kind="input")["default_samplerate"])
    except (ValueError, sounddevice.PortAudioError) as error:
        raise InputError(
            f"there is no microphone here ({error}); connect one, or give recordings"
        ) from None
    listener = recognizer.listen(rate=rate, task=task, vad=vad)
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def heard(chunk: Any, frames: int, time: Any, status: Any) -> None:
        chunks.put(chunk[:, 0].copy())

    try:
        with (
            _ended_by_ctrl_c(chunks),
            sounddevice.InputStream(
                samplerate=rate, channels=1, blocksize=round(rate * BLOCK), callback=heard
            ),
        ):
            print("listening; Ctrl-C ends", file=sys.stderr)
            while (chunk := chunks.get()) is not None:
                for found in listener.feed(chunk):
                    answer(found)
            for found in listener.finish():
                answer(found)
    except sounddevice.PortAudioError as error:
        raise InputError(
            f"the microphone cannot be opened ({error}); another program may have it, or the "
            "system may forbid it: allow this terminal to use the microphone"
        ) from None


@contextmanager
def _ended_by_ctrl_c(chunks: queue.SimpleQueue[Any]) -> Iterator[None]:
    """Ctrl-C puts None behind all that was heard, in whatever answer it comes; again, it is
    KeyboardInterrupt."""

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        chunks.put(None)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise InputError(
            "the microphone is read with the package sounddevice; install it: pip install "
            "sounddevice, or give recordings: arecord -f S16_LE -r 16000 -d 4 | atat recognize "
            "MODEL -"
        ) from None
    except OSError as error:  # the package without its library
        raise InputError(
            f"sounddevice lacks its library ({error}); install it: apt install libportaudio2"
        ) from None
    return sounddevice
