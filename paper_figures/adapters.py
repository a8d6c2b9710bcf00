"""The same load spread over 8 to 1,000 adapters."""

from __future__ import annotations

from collections.abc import Iterator

from . import sweep_panels
from .style import Drawing
from .sweep import Sweep

NAME = "adapters"
SOURCE = "adapters"
PANELS = (
    sweep_panels.Panel("ttft_from_schedule_s.mean", "mean TTFT, s"),
    sweep_panels.Panel("cold_share", "cold requests, share"),
    sweep_panels.Panel("cost_usd", "cost, $"),
)


def draw_sweep(sweep: Sweep) -> Iterator[Drawing]:
    yield sweep_panels.draw(NAME, sweep, PANELS)
