"""All metrics, and their lookup by name."""

from __future__ import annotations

from ..errors import HarnessError
from .latency import LATENCY
from .metric import Metric
from .resources import RESOURCES
from .service import SERVICE

METRICS: tuple[Metric, ...] = (*LATENCY, *SERVICE, *RESOURCES)


def metric(name: str) -> Metric:
    """Return a metric. Raises ``HarnessError``, which lists the known names."""
    for each in METRICS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in METRICS)
    raise HarnessError(f"metric {name!r} is unknown; known: {known}")
