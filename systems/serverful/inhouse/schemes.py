"""Schemes by name: how replicas batch and how requests are placed. Each scheme is one system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .batcher import Batcher, FirstCome
from .credit import CreditBatcher, StepTimes
from .placement import Costs

Timings = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scheme:
    """``batcher``: makes a replica's batcher from the batch limit, the adapters and the profile.
    ``profile``: measures an engine before it serves (names end in their units), given the seconds
    that each adapter took to load; None: nothing is measured. ``costs``: the costs that placement
    compares. ``migrates``: whether requests and adapters move between replicas at run time."""

    batcher: Callable[[int, Iterable[str], Timings], Batcher]
    costs: Callable[[Timings], Costs]
    profile: Callable[[Any, Mapping[str, float]], Timings] | None = None
    migrates: bool = False


def _first_come(batch: int, adapters: Iterable[str], timings: Timings) -> Batcher:  # noqa: ARG001
    return FirstCome(batch)


def _even(timings: Timings) -> Costs:  # noqa: ARG001
    """Compare replicas by their numbers of requests alone."""
    return Costs(merged=1.0, load=0.0)


def _credited(batch: int, adapters: Iterable[str], timings: Timings) -> Batcher:
    if not timings:
        return FirstCome(batch)
    return CreditBatcher(batch, adapters, StepTimes(**timings), PATIENCE)


def _measured(timings: Timings) -> Costs:
    if not timings:
        return Costs(merged=1.0, load=0.0)
    times = StepTimes(**timings)
    return Costs(merged=times.ratio, load=times.load_s / times.unmerged_s)


def _profile(engine: Any, loads_s: Mapping[str, float]) -> Timings:
    from .profiling import step_times

    return step_times(engine, loads_s)


PATIENCE = 8
"""Batches that an adapter waits before it must run: short against an SLO of seconds at steps of
tens of milliseconds, long against a switch. Ours; the artifact's is bound to its test bed."""

PROFILED = "profiled"
"""The kind of the decision that records the result of a scheme's profile."""

SCHEMES: Mapping[str, Scheme] = {
    "multi-lora": Scheme(_first_come, _even),
    "dlora": Scheme(_credited, _measured, _profile, migrates=True),
}
