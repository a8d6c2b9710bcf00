"""Every metric, by name."""

from __future__ import annotations

from ..errors import HarnessError
from .latency import LATENCY
from .metric import Metric
from .resources import RESOURCES
from .service import SERVICE

METRICS: tuple[Metric, ...] = (*LATENCY, *SERVICE, *RESOURCES)


def metric(name: str) -> Metric:
    """``HarnessError`` names those there are."""
    for each in METRICS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in METRICS)
    raise HarnessError(f"metric {name!r} is unknown; known: {known}")
