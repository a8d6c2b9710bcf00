"""One load on ever more GPUs."""

from __future__ import annotations

from .sweep_panels import SCALING

PANELS = SCALING
