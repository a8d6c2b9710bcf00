"""The declaration of a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .frame import Frame
from .observation import Observation

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. ``name``: key in summary.json and in ``slbench compare``. ``observe``: computes it
    from a cell's frame; None if the cell lacks the data."""

    name: str
    title: str
    symbol: str
    unit: str
    definition: str
    formula: str
    better: Better
    observe: Callable[[Frame], Observation | None]
