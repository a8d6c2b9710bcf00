"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .frame import Frame
from .observation import Observation

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """``name``: its key in summary.json and in ``slbench compare``; ``observe`` takes a cell's
    frame and gives None where the cell has nothing of the kind."""

    name: str
    title: str
    symbol: str
    unit: str
    definition: str
    formula: str
    better: Better
    observe: Callable[[Frame], Observation | None]
