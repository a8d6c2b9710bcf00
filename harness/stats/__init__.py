"""Estimates with intervals that account for the dependence between requests of a burst."""

from .arrays import Interval
from .dependence import Dependence
from .estimate import Estimate, estimates, summarise
from .mean import mean_interval, share_interval
from .quantile import QUANTILES, enough, quantile_interval
from .ratio import mean_ratio_interval, quantile_ratio_interval
from .series import Series
from .student import student_interval, student_intervals, student_ratio_interval

__all__ = [
    "QUANTILES",
    "Dependence",
    "Estimate",
    "Interval",
    "Series",
    "enough",
    "estimates",
    "mean_interval",
    "mean_ratio_interval",
    "quantile_interval",
    "quantile_ratio_interval",
    "share_interval",
    "student_interval",
    "student_intervals",
    "student_ratio_interval",
    "summarise",
]
