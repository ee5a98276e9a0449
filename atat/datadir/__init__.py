"""Kaldi data dirs and their contents."""
