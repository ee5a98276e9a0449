"""How much one request may ask for, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits of a server; its page and `GET /health` tell them."""

    seconds: float = 60.0  # of a recording
    megabytes: float = 12.0  # 10**6 bytes of a recording: 60 s of a CD are 10.6
    characters: int = 500  # of a sentence: 80 words
    parallel: int = 1  # answers made at once
    waiting: int = 32  # requests that wait for their turn; the next one is answered 503
    patience: float = 30.0  # seconds that a request may have to wait; else it is answered 503

    @property
    def bytes(self) -> int:
        """Of the body of a request with a recording; forms add a little."""
        return int(self.megabytes * 1e6) + 4096

    @property
    def values(self) -> int:
        """Samples * channels of a recording within its seconds: those of two channels at 192 kHz
        for a minute, or all of a longer limit. A few bytes of flac can promise far more."""
        return int(max(self.seconds, 60.0) * 400_000)

    @property
    def text_bytes(self) -> int:
        """Of the body of a request with a sentence; JSON may write a character in 12 bytes."""
        return 12 * self.characters + 4096

    @property
    def recording(self) -> str:
        """In words."""
        return f"recordings up to {self.seconds:g} s and {self.megabytes:g} MB are understood"
