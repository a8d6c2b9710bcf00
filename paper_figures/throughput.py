"""Tokens/s, requests/s and TTFT for increasing offered load: two GPUs, four functions."""

from __future__ import annotations

from .sweep_panels import Panel

PANELS = (
    Panel(
        "output_tokens_per_s", "tokens/s", published=(("serverless-lora", 547.0),), published_at=64
    ),
    Panel("requests_per_s", "requests/s", offered=True),
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
)
