"""What stands around the panels of a figure: the legend, the caption, and labels of axes, broken
where they are longer than their panels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from .style import PUBLISHED, SMALL_PT, width_in

_CAPTION_PER_IN, _LABEL_PER_IN, _LEGEND_PER_IN, _TITLE_PER_IN = 22.0, 15.0, 16.5, 14.0
"""Characters that fit in an inch."""
_KEY = 8
"""Characters that a handle of the legend is as wide as."""
_AROUND_LABEL_IN = _BESIDE_TITLE_IN = 0.45
_LINE_IN, _ROW_IN = 0.11, 0.16
"""Height of a line of the caption and of a row of the legend."""
_STUCK = "\u00a0"
_UNIT = re.compile(r" (?=\S{1,2}$|%)")


def enclose(figure: Any, caption: str, title: str | None = None) -> None:
    """Add the legend, below its title, and the caption, and make room for both; break the vertical
    axes' labels that are longer than their panels. Call it last."""
    for axis in figure.axes:
        rows = axis.get_subplotspec().get_gridspec().nrows
        height_in = figure.get_figheight() / rows - _AROUND_LABEL_IN
        axis.set_ylabel(_broken(axis.get_ylabel(), _LABEL_PER_IN * height_in))
    below = "\n".join(_broken(line, _CAPTION_PER_IN * width_in()) for line in caption.split("\n"))
    figure.supxlabel(below, fontsize=SMALL_PT)
    more_in = _LINE_IN * below.count("\n") + _ROW_IN * (_legend(figure, title) - 1)
    figure.set_figheight(figure.get_figheight() + more_in)


def head(axis: Any, title: str) -> None:
    """Write the panel's title, broken where the panel ends."""
    columns = axis.get_subplotspec().get_gridspec().ncols
    room_in = width_in() / columns - _BESIDE_TITLE_IN
    axis.set_title(_broken(title, _TITLE_PER_IN * room_in), loc="left", fontweight="bold")


def _broken(text: str, characters: float) -> str:
    """Break a text in lines, but not before its unit."""
    lines = fill(
        _UNIT.sub(_STUCK, text), int(characters), break_long_words=False, break_on_hyphens=False
    )
    return lines.replace(_STUCK, " ")


def _legend(figure: Any, title: str | None) -> int:
    """Draw one legend above the panels, with every label once, areas first and published marks
    last; return the number of its rows."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    found = dict(sorted(found.items(), key=lambda item: isinstance(item[1], Line2D)))
    if found.pop(PUBLISHED, None):
        found[PUBLISHED] = Line2D([], [], marker="o", mfc="white", mec="black", ms=6, ls="")
    columns = _columns(list(found))
    figure.legend(
        found.values(), found, ncols=columns, frameon=False, title=title,
        loc="outside upper center",
    )  # fmt: skip
    return -(-len(found) // columns)


def _columns(labels: Sequence[str]) -> int:
    """Return how many columns of a legend fit beside each other."""
    room = _LEGEND_PER_IN * width_in()
    for count in range(len(labels), 1, -1):
        columns = np.array_split(np.array([len(each) for each in labels]), count)
        if sum(column.max() + _KEY for column in columns) <= room:
            return count
    return 1
