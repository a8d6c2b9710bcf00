"""One load on ever more GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from . import sweep_panels
from .style import Drawing
from .sweep import Sweep

NAME = "strong-scaling"
SOURCE = "strong-scaling"
PANELS = (
    sweep_panels.Panel("output_tokens_per_s", "tokens/s"),
    sweep_panels.Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
    sweep_panels.Panel("cost_usd", "cost, $"),
)


def draw_sweep(sweep: Sweep) -> Iterator[Drawing]:
    yield sweep_panels.draw(NAME, sweep, PANELS)
