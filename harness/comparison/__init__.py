"""Comparison of cells that differ in one declared factor and nothing else."""

from .attainment import Sustained, at_attainment
from .factors import FACTORS, Factor, factor, level_names
from .gate import Gate, gate
from .listed import Difference
from .match import matched
from .row import Row
from .rows import Comparison, compare
from .runs import cells_of, compare_runs, declared_baseline, open_runs, usual_factor
from .selection import metrics_of, only, require
from .verdict import Outcome, Verdict, judge

__all__ = [
    "FACTORS",
    "Comparison",
    "Difference",
    "Factor",
    "Gate",
    "Outcome",
    "Row",
    "Sustained",
    "Verdict",
    "at_attainment",
    "cells_of",
    "compare",
    "compare_runs",
    "declared_baseline",
    "factor",
    "gate",
    "judge",
    "level_names",
    "matched",
    "metrics_of",
    "only",
    "open_runs",
    "require",
    "usual_factor",
]
