"""Scales of axes: from zero, or logarithmic where a linear one would hide what is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_HEAD_ROOM = 1.05
"""Factor between the largest value and the end of an axis from zero."""
_LOG_ROOM = 1.5
"""Factor between the least or largest value and the end of a logarithmic axis."""
_WIDE = 50.0
"""A bar that is as many times lower than another is no more than a line."""


def from_zero(axis: Any) -> None:
    """Let the vertical axis begin at zero, with room above everything that is drawn, so that no
    mark at the top is cut in half."""
    axis.set_ylim(0, _HEAD_ROOM * axis.dataLim.y1 if axis.dataLim.y1 > 0 else 1)


def is_wide(values: pd.Series[Any]) -> bool:
    """Return whether a linear axis would hide the least of ``values``, and a logarithmic one can
    show all."""
    least, most = values.min(), values.max()
    return bool(least > 0 and most > _WIDE * least)


def below(values: pd.Series[Any]) -> float:
    """Return where a logarithmic axis of ``values`` begins."""
    return float(values.min()) / _LOG_ROOM


def logarithmic(axis: Any, which: str, values: pd.Series[Any], label: str) -> None:
    """Make the axis ``which``, "x" or "y", logarithmic, with room on both sides of ``values``."""
    ends = below(values), values.max() * _LOG_ROOM
    axis.set(**{f"{which}scale": "log", f"{which}lim": ends, f"{which}label": f"{label} (log)"})
    getattr(axis, f"{which}axis").set_major_formatter("{x:,g}")
