"""Layers and search: tensors only, no files and no tasks."""
