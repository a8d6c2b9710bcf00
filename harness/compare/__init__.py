"""Systems held against each other where they differ in one declared factor and nothing else."""

from .attainment import Sustained, at_attainment
from .factors import FACTORS, Factor, factor
from .match import matched
from .rows import Comparison, Row, compare

__all__ = [
    "FACTORS",
    "Comparison",
    "Factor",
    "Row",
    "Sustained",
    "at_attainment",
    "compare",
    "factor",
    "matched",
]
