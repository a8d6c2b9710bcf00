"""Effect of the GPU's memory size: two devices, eight functions of two backbones, normal load."""

from __future__ import annotations

from .sweep_panels import KEEPING

PANELS = KEEPING
