"""The same load distributed over 8 to 1,000 adapters."""

from __future__ import annotations

from .sweep_panels import Panel

PANELS = (
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s"),
    Panel("cold_share", "cold requests, share"),
    Panel("cost_usd", "cost, $"),
)
