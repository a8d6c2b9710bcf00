"""Systems held against each other where they differ in one declared factor and nothing else."""

from .factors import FACTORS, Factor, factor
from .match import matched
from .rows import Comparison, Row, compare

__all__ = ["FACTORS", "Comparison", "Factor", "Row", "compare", "factor", "matched"]
