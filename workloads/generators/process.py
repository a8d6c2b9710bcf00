"""The interface of an arrival process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

Times = np.ndarray[Any, np.dtype[np.float64]]


class Process(BaseModel, ABC):
    """A stationary point process. ``kind`` is its name in a catalogue entry."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    @abstractmethod
    def mean_rate_rps(self) -> float:
        """Expected arrivals per second."""

    @abstractmethod
    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        """Arrival times in [0, duration), sorted, in seconds. The process was running before 0, so
        the first gap is not special."""
