"""Cho et al. 2020: a classifier of speech learns from the logits of one that reads the text."""
