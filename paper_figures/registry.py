"""Figures by name. A module offers ``draw_figure(run) -> Iterable[Drawing]`` and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.records import Run

    from .style import Drawing

_FIGURES = {
    "time-breakdown": "paper_figures.time_breakdown",
    "memory-over-time": "paper_figures.memory_over_time",
}


def figure_names() -> list[str]:
    return list(_FIGURES)


def draw(name: str, run: Run, folder: Path) -> list[Path]:
    """Draw a figure from a run into ``folder``: PNG for people, PDF and SVG for papers, and a CSV
    of what it shows. The PNGs; ``HarnessError`` where the name is unknown."""
    if name not in _FIGURES:
        raise HarnessError(f"figure {name!r} is unknown; known: {', '.join(_FIGURES)}")
    drawings: Iterable[Drawing] = importlib.import_module(_FIGURES[name]).draw_figure(run)
    return [drawing.save(folder) for drawing in drawings]
