"""Inspect a drawn figure: its text, empty axes, and artists outside the limits of the axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.text import Text

_ROOM = 1e-9


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def empty(axis: Any) -> bool:
    """Return whether the axis has neither data nor a "not known" note."""
    said = any("not known" in text.get_text() for text in axis.texts)
    shown = any(np.isfinite(points).all(axis=1).any() for points, _ in _drawn(axis))
    return not shown and not said


def cut_off(axis: Any) -> list[str]:
    """Describe the artists that extend beyond the limits of the axis, one line per direction."""
    found = []
    limits = (axis.get_xlim(), axis.get_ylim())
    for points, artist in _drawn(axis):
        within = artist.get_transform().contains_branch_seperately(axis.transData)
        for name, values, (low, high), in_data in zip("xy", points.T, limits, within, strict=True):
            room = _ROOM * (high - low)
            known = values[np.isfinite(values)]
            if (
                in_data
                and len(known)
                and not low - room <= known.min() <= known.max() <= high + room
            ):
                found.append(f"{artist}: {name} {known.min()} to {known.max()} of {low} to {high}")
    return found


def _drawn(axis: Any) -> Iterator[tuple[np.ndarray[Any, Any], Any]]:
    """Yield the points [n, 2] of each artist, and the artist."""
    for line in axis.lines:
        yield np.asarray(line.get_xydata(), dtype=float), line
    for patch in axis.patches:
        yield patch.get_patch_transform().transform(patch.get_path().vertices), patch
    for collection in axis.collections:
        for path in collection.get_paths():
            yield np.asarray(path.vertices, dtype=float), collection
