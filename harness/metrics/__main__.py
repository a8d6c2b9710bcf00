"""Prints METRICS.md: ``python -m harness.metrics > METRICS.md``."""

from .page import page

print(page(), end="")
