"""AT-AT: audio and text in, intents and slots out, one model (Rongali et al., AAAI 2021).

    from atat import Recognizer

    found = Recognizer.load("exp/joint/model")("order.wav")
    found.intent, found.slots

`import atat` loads neither torch nor numpy: the Recognizer is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atat.apps.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Recognizer":
        from atat.apps.recognizer import Recognizer

        return Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
