"""One load on an increasing number of GPUs."""

from __future__ import annotations

from .sweep_panels import SCALING

PANELS = SCALING
