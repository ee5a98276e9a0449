"""Trained models without torch: `atat export MODEL --onnx --out DIR`, then here.

from atat.runtime import Recognizer

Recognizer.load("DIR")("order.wav").intent

Needs numpy, onnxruntime and sentencepiece. `python -m atat.runtime DIR order.wav` is the same.
"""

from atat.runtime.recognizer import Recognizer

__all__ = ["Recognizer"]
