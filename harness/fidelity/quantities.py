"""The quantities of a cell that are compared between live and simulated runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Quantity:
    """``path``: its keys in a cell's summary. A page shows the value times ``scale`` under
    ``title``, which names the unit."""

    name: str
    path: tuple[str, ...]
    title: str
    scale: float = 1.0

    def of(self, summary: Mapping[str, Any]) -> float | None:
        """Return the value; None if the system does not tell it."""
        found: Any = summary
        for key in self.path:
            found = None if found is None else found.get(key)
        return None if found is None else float(found)


QUANTITIES = (
    Quantity("ttft_mean_s", ("ttft_s", "mean"), "TTFT mean, ms", 1e3),
    Quantity("ttft_p95_s", ("ttft_s", "p95"), "TTFT p95, ms", 1e3),
    Quantity("tpot_mean_s", ("tpot_s", "mean"), "TPOT mean, ms", 1e3),
    Quantity("tpot_p95_s", ("tpot_s", "p95"), "TPOT p95, ms", 1e3),
    Quantity("e2e_mean_s", ("e2e_s", "mean"), "E2E mean, ms", 1e3),
    Quantity("e2e_p95_s", ("e2e_s", "p95"), "E2E p95, ms", 1e3),
    Quantity("cold", ("cold",), "cold"),
    Quantity("warm", ("warm",), "warm"),
    Quantity("cost_usd", ("cost_usd",), "cost, m$", 1e3),
)
