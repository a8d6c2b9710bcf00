"""One module per figure: takes a run's records, returns the figure, its data and its caption."""

from .errors import NothingToDrawError
from .registry import (
    Drawn,
    draw,
    draw_each,
    draw_records,
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
    "draw_records",
    "draw_reference",
    "figure_names",
    "names_for",
    "open_record",
    "sweep_names",
]
