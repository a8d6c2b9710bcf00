"""Formats numbers with their intervals."""

from __future__ import annotations

_SHOWN = {
    "s": ("ms", 1e3),
    "s/token": ("ms/token", 1e3),
    "B": ("MB", 1e-6),
    "1": ("%", 100.0),
    "$": ("millionths of $", 1e6),
    "tokens/$": ("thousand tokens/$", 1e-3),
}
"""Units of the records, and the units in which they are shown."""


def unit_of(unit: str) -> str:
    return _SHOWN.get(unit, (unit, 1.0))[0]


def scale_of(unit: str) -> float:
    """Return the factor from a record's unit to the one in which it is shown."""
    return _SHOWN.get(unit, (unit, 1.0))[1]


def shown(value: float, interval: tuple[float, float] | None, unit: str = "") -> str:
    """Format as ``123 [110–140]``; all three numbers have the precision of the value."""
    scale = scale_of(unit)
    digits = _digits(value * scale)
    if interval is None:
        return f"{value * scale:,.{digits}f}"
    low, high = (f"{end * scale:,.{digits}f}" for end in interval)
    return f"{value * scale:,.{digits}f} [{low}–{high}]"


def _digits(value: float) -> int:
    """Number of decimals for three significant digits."""
    size = abs(value)
    return 0 if size >= 100 or size == 0 else 1 if size >= 10 else 2 if size >= 0.1 else 4
