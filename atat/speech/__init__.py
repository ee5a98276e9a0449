"""Samples and frames."""
