"""Where the cells of a run are executed, as their records state it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INSTANCE_PRICES = "aws-p5-48xlarge"


@dataclass(frozen=True, slots=True)
class RunConditions:
    """What is the same for all cells of a run, by the executor that runs them."""

    cores: int
    """Of the machine that runs the cells, or that is simulated."""
    ledger_grid: bool
    """Whether the memory ledger is recorded at 10 Hz as well as at its changes. In virtual time it
    misses nothing between them."""
    instance_prices: str = INSTANCE_PRICES
    """Price sheet by the hour, where the experiment names none."""
    profile: Mapping[str, Any] | None = None
    """For the manifest: the device profile of a simulation."""
    calibration: Mapping[str, Any] | None = None
    """For the manifest: of the client, before the first cell."""
