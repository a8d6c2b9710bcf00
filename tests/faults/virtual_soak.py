"""Endurance of the decision core in virtual time:
``python -m tests.faults.virtual_soak --requests N --functions N --isolation LEVEL --out FILE``.

Plays Poisson arrivals, by Zipf's law over the functions, to a simulated platform whose devices are
too small for them, so that instances start, sleep and end all the time. At intervals it measures
the memory that the controller keeps. What the simulation keeps for its own records is dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from systems.interface import Isolation
from systems.serverless.simulated.platform import Platform
from systems.simulation.arrival import Arrival
from tests.benchmarks.test_decisions import platform
from workloads.streams import stream

from .reachable import reachable_bytes
from .slopes import WARM_UP, slope

GROWS = 0.02
"""Growth after the warm-up, as a share of the median, up to which memory counts as flat."""
_PIECES = 50


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.virtual_soak", description=__doc__
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--functions", type=int, default=1_000)
    parser.add_argument("--devices", type=int, default=16)
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second")
    parser.add_argument("--isolation", default="function")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("soak-virtual.json"))
    options = parser.parse_args()
    record = soak(
        options.requests, options.functions, options.devices, options.rate, options.isolation,
        options.seed,
    )  # fmt: skip
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(record, file=sys.stderr)
    return 0 if record["memory"]["flat"] and not record["failed"] else 1


def soak(
    requests: int, functions: int, devices: int, rate: float, isolation: Isolation, seed: int
) -> dict[str, Any]:
    target = platform(functions, devices, isolation)
    kept_mb: list[float] = []
    failed, worked = 0, set[str]()
    for piece in _pieces(requests, functions, rate, seed):
        for arrival in piece:
            target.clock.run_until(arrival.at_ns)
            target.submit(arrival)
        worked |= {each.instance_id for each in target.kept.activities}
        failed += _forget(target)
        kept_mb.append(reachable_bytes(target.controller, without=[target]) / 1e6)
    hours = target.clock.now / 3.6e12
    late = kept_mb[round(WARM_UP * len(kept_mb)) :]
    times = list(np.linspace(WARM_UP, 1, len(late)))
    return {
        "seed": seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "requests": requests,
        "functions": functions,
        "devices": devices,
        "rate_rps": rate,
        "isolation": isolation,
        "hours": round(hours, 2),
        "instances_started": len(worked),
        "failed": failed,
        "memory": slope(times, late, 1 - WARM_UP, GROWS),
    }


def _pieces(requests: int, functions: int, rate: float, seed: int) -> Iterator[list[Arrival]]:
    """Draw the arrivals piece by piece, so that they do not take memory themselves."""
    draw = stream(seed, "virtual soak", functions)
    weights = 1 / np.arange(1, functions + 1)
    number, now_s = 0, 0.0
    for _ in range(_PIECES):
        gaps_s = draw.exponential(1 / rate, requests // _PIECES)
        whose = draw.choice(functions, len(gaps_s), p=weights / weights.sum())
        piece = []
        for gap_s, function in zip(gaps_s, whose, strict=True):
            now_s += gap_s
            piece.append(Arrival(number, round(now_s * 1e9), f"f{function}", 128, 16))
            number += 1
        yield piece


def _forget(target: Platform) -> int:
    """Drop what the simulation keeps of ended requests; return how many of them failed."""
    over = [call for call in target.calls.values() if call.status not in ("waiting", "running")]
    for call in over:
        del target.calls[call.work.id]
    target.kept.memory_steps.clear()
    target.kept.activities.clear()
    return sum(call.status != "ok" for call in over)


if __name__ == "__main__":
    sys.exit(main())
