"""The result of a calibration, and its targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LATENESS_P99_MS = 1.0
SKEW_P50_MS, SKEW_P99_MS = 0.5, 5.0
CPU_US_PER_EVENT = 25.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a delay in milliseconds, with the number of samples."""

    p50: float
    p99: float
    n: int

    @classmethod
    def of_ns(cls, values: Any) -> Percentiles:
        p50, p99 = np.percentile(np.asarray(values), [50, 99]) / 1e6
        return cls(round(float(p50), 4), round(float(p99), 4), len(values))


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's own noise during a calibration. ``wake_ms``: delay of an idle process after a 5
    ms sleep. ``busy``: share of processor time in use, including the calibration itself. ``steal``:
    share taken by the hypervisor."""

    wake_ms: Percentiles
    busy: float
    steal: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """``lateness_ms``: of sends at ``rate_rps``. ``ttft_skew_ms``: the client's time of the first
    token minus the server's, at ``streams`` × 50 tokens/s. ``cpu_us_per_event``: of all client
    processes under the same streams. ``max_rate_rps``, ``max_streams``: the highest load at which a
    run would be valid (0: not even the lowest); None if only the two base loads were run."""

    lateness_ms: Percentiles
    ttft_skew_ms: Percentiles
    cpu_us_per_event: float
    max_rate_rps: float | None
    max_streams: int | None
    rate_rps: float
    streams: int
    machine: Machine

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "problems": list(self.problems())}

    def problems(self) -> Iterator[str]:
        """Yield one line per missed target."""
        noise = (
            f"the machine itself woke {self.machine.wake_ms.p99:.2f} ms late at p99,"
            f" {self.machine.steal:.1%} of its time was stolen, {self.machine.busy:.0%} busy"
        )
        for what, value, target, unit in (
            ("lateness p99", self.lateness_ms.p99, LATENESS_P99_MS, "ms"),
            ("TTFT skew p50", self.ttft_skew_ms.p50, SKEW_P50_MS, "ms"),
            ("TTFT skew p99", self.ttft_skew_ms.p99, SKEW_P99_MS, "ms"),
            ("CPU per event", self.cpu_us_per_event, CPU_US_PER_EVENT, "µs"),
        ):
            if value > target:
                yield f"client: {what} is {value:.2f} {unit}, above {target:g} {unit}; {noise}"
