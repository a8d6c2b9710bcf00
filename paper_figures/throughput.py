"""Tokens and requests a second, and TTFT, as ever more is offered: two GPUs, four functions."""

from __future__ import annotations

from collections.abc import Iterator

from . import sweep_panels
from .style import Drawing
from .sweep import Sweep

NAME = "throughput"
SOURCE = "throughput"
PANELS = (
    sweep_panels.Panel("output_tokens_per_s", "tokens/s", published=(("serverless-lora", 547.0),)),
    sweep_panels.Panel("requests_per_s", "requests/s"),
    sweep_panels.Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
)


def draw_sweep(sweep: Sweep) -> Iterator[Drawing]:
    yield sweep_panels.draw(NAME, sweep, PANELS)
