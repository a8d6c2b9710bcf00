"""Load and functions grow with the GPUs: two functions and one request per second for each GPU."""

from __future__ import annotations

from dataclasses import replace

from .sweep_panels import SCALING

PANELS = tuple(replace(panel, log_y=True) for panel in SCALING)
