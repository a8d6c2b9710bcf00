"""The metrics of a cell: each is declared once and both computed and documented from there."""

from .frame import Frame
from .metric import Metric
from .observation import Observation, Sample, Scaled, Total
from .registry import METRICS, metric
from .residual import residual_problem
from .summary import summary

__all__ = [
    "METRICS",
    "Frame",
    "Metric",
    "Observation",
    "Sample",
    "Scaled",
    "Total",
    "metric",
    "residual_problem",
    "summary",
]
