"""Comparison of cells that differ in one declared factor and nothing else."""

from .attainment import Sustained, at_attainment
from .factors import FACTORS, Factor, factor, level_names
from .listed import Difference
from .match import matched
from .row import Row
from .rows import Comparison, compare

__all__ = [
    "FACTORS",
    "Comparison",
    "Difference",
    "Factor",
    "Row",
    "Sustained",
    "at_attainment",
    "compare",
    "factor",
    "level_names",
    "matched",
]
