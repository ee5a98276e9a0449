"""Lugosch et al. 2019: phonemes and words first, then intents from raw samples."""
