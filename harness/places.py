"""Where records are stored, relative to the root of the checkout."""

from pathlib import Path

RUNS = Path("results/runs")
REFERENCE = Path("results/reference")
