"""What a longer keep-alive buys and costs, normal load."""

from __future__ import annotations

from .sweep_panels import KEEPING

PANELS = KEEPING
