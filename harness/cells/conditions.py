"""The conditions under which a run's cells are executed, as stated in their records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INSTANCE_PRICES = "aws-p5-48xlarge"


@dataclass(frozen=True, slots=True)
class RunConditions:
    """The conditions that all cells of a run share. The executor sets them."""

    cores: int
    """Cores of the machine that runs the cells or is simulated."""
    ledger_grid: bool
    """Whether the memory ledger is recorded at 10 Hz as well as at its changes. In virtual time the
    changes are enough."""
    instance_prices: str = INSTANCE_PRICES
    """Price sheet of hourly instance prices, if the experiment names none."""
    profile: Mapping[str, Any] | None = None
    """The device profile of a simulation, for the manifest."""
    calibration: Mapping[str, Any] | None = None
    """The calibration of the client before the first cell, for the manifest."""
