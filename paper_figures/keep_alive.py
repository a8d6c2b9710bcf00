"""Benefit and cost of a longer keep-alive, normal load."""

from __future__ import annotations

from .sweep_panels import KEEPING

PANELS = KEEPING
