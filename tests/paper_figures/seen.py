"""Inspect a drawn figure: its text, empty axes, artists outside the limits of the axes, and what a
reader of a print cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any
from unittest import mock

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from paper_figures.looks import grey
from paper_figures.style import PUBLISHED, SMALL_PT

_ROOM = 1e-9
_APART_IN_GREY = 0.25
_BLANK_PX = 1.0
_LONGEST = 1.15
"""Height of an axis' label, as a part of its panel's."""


def words(figure: Any) -> list[str]:
    """Return the texts, without their breaks of lines."""
    return [" ".join(text.get_text().split()) for text in figure.findobj(Text) if text.get_text()]


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


def illegible(figure: Any) -> list[str]:
    """Describe the texts that are too small, leave the figure, are longer than their
    panel, or cover a text or a bar."""
    shown = _texts(figure)
    whole = figure.bbox
    found = [f"{text!r} is too small" for text, size, _ in shown if size < SMALL_PT]
    for text, _, box in shown:
        if not (
            whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 <= box.y1 <= whole.y1
        ):
            found.append(f"{text!r} leaves the figure")
    for (one, _, box), (other, _, beside) in combinations(shown, 2):
        if _inside(box).overlaps(_inside(beside)):
            found.append(f"{one!r} covers {other!r}")
    for axis in figure.axes:
        label = axis.yaxis.label.get_window_extent()
        if label.height > _LONGEST * axis.bbox.height:
            found.append(f"{axis.get_ylabel()!r} is longer than its panel")
        bars = [patch.get_window_extent() for patch in axis.patches]
        for text in axis.texts:
            box = _inside(text.get_window_extent())
            found += [f"{text.get_text()!r} covers a bar" for bar in bars if box.overlaps(bar)]
    return found


def cut_marks(figure: Any) -> list[str]:
    """Describe the marks of lines that the edge of their axis cuts off."""
    found = []
    for axis in figure.axes:
        edge = axis.bbox
        for line in (line for line in axis.lines if line.get_clip_on() and _marker(line)):
            points = line.get_transform().transform(line.get_xydata())
            every = line.get_markevery()
            marked = points[list(every)] if isinstance(every, list) else points
            half = 0.45 * line.get_markersize() / 72 * figure.dpi
            known = marked[np.isfinite(marked).all(axis=1)]
            if any(
                x - half < edge.x0 or x + half > edge.x1 or y - half < edge.y0 or y + half > edge.y1
                for x, y in known
            ):
                found.append(f"{line.get_label()} in {axis.get_ylabel()!r}")
    return found


def alike(figure: Any) -> list[str]:
    """Describe the lines and areas of a panel that cannot be told apart in grey: lines by marker
    and dashes, areas by hatch or lightness."""
    found = []
    for axis in figure.axes:
        lines = {line.get_label(): _in_grey(line) for line in axis.lines if _named(line)}
        areas = dict(_areas(axis))
        found += [f"{a}, {b}" for a, b in combinations(lines, 2) if lines[a] == lines[b]]
        found += [f"{a}, {b}" for a, b in combinations(areas, 2) if _alike(areas[a], areas[b])]
    return found


def _named(artist: Any) -> bool:
    return artist.get_label() != PUBLISHED and not str(artist.get_label()).startswith("_")


def _marker(line: Any) -> bool:
    return line.get_marker() not in ("None", "", None)


def _in_grey(line: Any) -> tuple[Any, ...]:
    dashes = line._unscaled_dash_pattern
    return line.get_marker(), line.get_fillstyle(), line.get_mfc() == "white", str(dashes)


def _areas(axis: Any) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yield label, hatch and lightness of bars and areas."""
    for bars in axis.containers:
        if hasattr(bars, "patches") and _named(bars):
            yield bars.get_label(), _filled(bars.patches[0], bars.patches[0].get_facecolor())
    for area in axis.collections:
        if isinstance(area, PolyCollection) and _named(area):
            yield area.get_label(), _filled(area, area.get_facecolor()[0])


def _filled(artist: Any, colour: Any) -> tuple[str, float]:
    return artist.get_hatch() or "", grey(to_hex(colour))


def _alike(one: tuple[str, float], other: tuple[str, float]) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) < _APART_IN_GREY


def _texts(figure: Any) -> list[tuple[str, float, Any]]:
    """Lay the figure out; return its drawn texts, with size in points and box."""
    shown: list[tuple[str, float, Any]] = []
    draw = Text.draw

    def told(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            shown.append((self.get_text(), self.get_fontsize(), self.get_window_extent(renderer)))
        draw(self, renderer)

    with mock.patch.object(Text, "draw", told):
        figure.draw_without_rendering()
    return shown


def _inside(box: Any) -> Any:
    """Leave out the blank that a text has around its letters."""
    return box.padded(-_BLANK_PX)
