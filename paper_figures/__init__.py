"""A module per figure: a run's records in; figure, its data and its caption out."""

from .errors import NothingToDrawError
from .registry import (
    Drawn,
    draw,
    draw_each,
    draw_reference,
    figure_names,
    names_for,
    open_record,
    sweep_names,
)

__all__ = [
    "Drawn",
    "NothingToDrawError",
    "draw",
    "draw_each",
    "draw_reference",
    "figure_names",
    "names_for",
    "open_record",
    "sweep_names",
]
