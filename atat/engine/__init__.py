"""Trains, validates, stores and decodes any system."""
