"""Where records lie, from the checkout's root."""

from pathlib import Path

RUNS = Path("results/runs")
REFERENCE = Path("results/reference")
