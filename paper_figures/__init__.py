"""A module per figure: a run's records in; figure, its data and its caption out."""

from .registry import draw, draw_reference, figure_names, sweep_names

__all__ = ["draw", "draw_reference", "figure_names", "sweep_names"]
