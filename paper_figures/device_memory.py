"""What memory a GPU must have: two devices, eight functions of two backbones, normal load."""

from __future__ import annotations

from collections.abc import Iterator

from . import sweep_panels
from .style import Drawing
from .sweep import Sweep

NAME = "device-memory"
SOURCE = "device-memory"
PANELS = (
    sweep_panels.Panel("ttft_from_schedule_s.mean", "mean TTFT, s"),
    sweep_panels.Panel("slo_violation_rate", "SLO violations, share"),
    sweep_panels.Panel("cost_usd", "cost, $"),
)


def draw_sweep(sweep: Sweep) -> Iterator[Drawing]:
    yield sweep_panels.draw(NAME, sweep, PANELS)
