"""Names of loads and backbones in figures: their order, and lines that fit beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from harness.natural_order import natural

from . import style

PATTERNS = ("azure-predictable8", "azure-normal8", "azure-bursty8")
_POINT = re.compile(r"[@,]")
_CHARACTER = 0.62
"""Mean width of a character, as a part of the font's size."""
_POINTS_PER_INCH = 72
_PANEL_IN = 2.2
"""Height of a panel with bars, and its share of legend and caption."""
_AROUND_IN = 0.9
"""Height of legend and caption."""
_PANELS = 3
"""Panels beside each other, if there are more than fit in one row."""
_FITTING = 4
_FITTING_COLUMN = 2
_LOWER = 0.85
"""Factor of the height of a panel that is as wide as a column."""


def loads_in_order(workloads: Iterable[str]) -> list[str]:
    """Sort the paper's patterns first, then other loads."""
    others = set(workloads) - set(PATTERNS)
    return [*PATTERNS, *sorted(others, key=natural)]


def pattern(workload: str) -> str:
    """Display name of a workload: ``azure-normal8``, one of the paper's patterns, is *normal*; a
    point of a sweep has a line for each value."""
    if workload in PATTERNS:
        return workload.removeprefix("azure-").rstrip("8")
    return _POINT.sub("\n", workload)


def title(workload: str, backbone: str) -> str:
    """Title of a panel: a line, and a further one for each value of a sweep."""
    shown = pattern(workload)
    return "\n".join((shown, backbone)) if "\n" in shown else f"{shown}, {backbone}"


def short_backbone(backbone: str) -> str:
    return backbone.removeprefix("llama2-").upper() if backbone.startswith("llama2") else backbone


def set_groups(axis: Any, labels: Sequence[str]) -> None:
    """Set a tick for each group of bars, upright if the labels do not fit beside each other."""
    axis.set_xticks(range(len(labels)), labels)
    lengths = [max(map(len, label.split("\n"))) for label in labels]
    longest = max((sum(pair) / 2 for pair in pairwise(lengths)), default=0)
    if _inches(longest) > _width_in(axis) / len(labels):
        flat = [label.replace("\n", ", ") for label in labels]
        axis.set_xticks(range(len(labels)), flat)
        axis.tick_params("x", rotation=90)
        _make_room(axis, max(map(len, flat)))


def _inches(characters: float) -> float:
    return characters * style.TICK_PT * _CHARACTER / _POINTS_PER_INCH


def _make_room(axis: Any, characters: int) -> None:
    """Make the figure as high as its panels and upright labels need."""
    figure, rows = axis.figure, axis.get_subplotspec().get_gridspec().nrows
    needed = rows * _PANEL_IN + _inches(characters)
    figure.set_figheight(max(figure.get_figheight(), needed))


def _width_in(axis: Any) -> float:
    """Width of the axis in inches, without the labels of its own."""
    columns = axis.get_subplotspec().get_gridspec().ncols
    return float(axis.figure.get_figwidth() / columns - 0.5)


def panel_columns(count: int) -> int:
    """How many of ``count`` panels stand beside each other."""
    if style.is_narrow():
        return min(count, _FITTING_COLUMN)
    return count if count <= _FITTING else _PANELS


def wide_panels(count: int, height_in: float, **shared: Any) -> tuple[Any, list[Any]]:
    """Create ``count`` panels beside each other, in a column beneath each other. ``shared``:
    arguments of ``subplots``."""
    import matplotlib.pyplot as plt

    deep, columns = (count, 1) if style.is_narrow() else (1, count)
    height_in *= _LOWER if style.is_narrow() else 1
    figure, axes = plt.subplots(
        deep, columns, figsize=(style.width_in(), height_in * deep + _AROUND_IN),
        squeeze=False, layout="constrained", **shared,
    )  # fmt: skip
    return figure, list(axes.ravel())


def panels(count: int, height_in: float, rows: int = 1, **shared: Any) -> tuple[Any, list[Any]]:
    """Create a figure of ``rows`` times ``count`` panels, each row broken where it is too long,
    in a column all one after the other;
    return it with the panels in order. ``shared``: arguments of ``subplots``."""
    import matplotlib.pyplot as plt

    if style.is_narrow():
        count, rows = count * rows, 1
    columns = panel_columns(count)
    deep = -(-count // columns)
    figure, axes = plt.subplots(
        rows * deep, columns, figsize=(style.width_in(), height_in * rows * deep + _AROUND_IN),
        squeeze=False, layout="constrained", **shared,
    )  # fmt: skip
    kept = []
    for row in range(rows):
        mine = axes[row * deep : (row + 1) * deep].ravel()
        kept += list(mine[:count])
        for spare in mine[count:]:
            figure.delaxes(spare)
    for axis in kept[-columns:]:
        axis.tick_params(labelbottom=True)
    return figure, kept
