"""The documentation builds without a warning, and its pages need nothing from elsewhere."""

from __future__ import annotations
