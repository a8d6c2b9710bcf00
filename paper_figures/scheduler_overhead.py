"""Time of single decisions, and memory of the whole simulation, as functions and GPUs grow
together. Measured during the simulation of weak scaling, on the machine that ran it."""

from __future__ import annotations

from .sweep_panels import Panel

MORE = "times and memory: measured, live, where it was simulated"
PANELS = (
    Panel("decision_p50_us", "a decision, median, µs"),
    Panel("decision_p99_us", "a decision, p99, µs"),
    Panel(
        "decision_max_us",
        "the longest decision, µs",
        log_y=True,
        published=(("serverless-lora", 6_000.0),),
        published_at=16,
    ),
    Panel("peak_rss_bytes", "simulator's memory, GB", scale=1e-9),
)
