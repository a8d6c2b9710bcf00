"""Load and functions growing with the GPUs: two functions and one request a second for each."""

from __future__ import annotations

from .sweep_panels import SCALING

PANELS = SCALING
