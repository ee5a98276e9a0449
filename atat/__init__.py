"""AT-AT: audio and text in, intents and slots out, one model (Rongali et al., AAAI 2021)."""

__version__ = "0.1.0"
