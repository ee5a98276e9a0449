"""AT-AT: audio and text encoders that share one decoder (Rongali et al., AAAI 2021)."""
