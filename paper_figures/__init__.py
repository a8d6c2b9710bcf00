"""A module per figure: a run's records in; figure, its data and its caption out."""

from .registry import draw, figure_names

__all__ = ["draw", "figure_names"]
