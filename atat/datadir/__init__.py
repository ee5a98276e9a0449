"""Kaldi data dirs and what lies in them."""
