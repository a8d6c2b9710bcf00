"""What is measured of a machine: a number or a curve, and its source."""

from __future__ import annotations

from typing import Any

import numpy as np

Points = tuple[tuple[float, float], ...]
Found = tuple[float | Points, str]
"""A number or a curve, and its source."""


def median(values: Any, what: str) -> tuple[float, str]:
    return float(np.median(values)), f"{what}, median of {len(values)}"
