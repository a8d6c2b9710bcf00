"""Which artifacts are put, and left, in place before a request needs them.

Only instances that exist and are idle or asleep are pre-loaded; none is created for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..artifacts import AWAKE, DORMANT, GONE, PARKED, Residency
from ..state import Instance, State
from ..value import residencies


class Preloading(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def forks(self) -> bool:
        """Whether instances are forked from a template, and not started from nothing."""

    @property
    def template_libraries(self) -> bool:
        """Whether the template holds the libraries, so that its forks have them at once."""

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        """What of an instance, idle past its keep-alive or asleep, should be in place from now
        on; ``GONE`` ends it."""


class NoPreloading:
    """Every instance is a fresh process that imports its libraries itself, and ends with its
    keep-alive."""

    name = "none"
    forks = False
    template_libraries = False

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:  # noqa: ARG002
        return GONE


@dataclass(frozen=True, slots=True)
class ByDensity:
    """ServerlessLoRA: of what rests on a device, what the precedence-constrained knapsack chooses
    by loading delay × rate over bytes; a container is kept for its own time.

    ``libraries``: whether the template holds them. Without, it is a pool of warm containers, as
    the paper's figure shows it: the second function's first call owes libraries, no container."""

    libraries: bool = True
    forks: bool = True

    @property
    def name(self) -> str:
        return "knapsack-by-density"

    @property
    def template_libraries(self) -> bool:
        return self.libraries

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        settings = state.world.settings
        if now_ns - instance.idle_since_ns >= settings.container_keep_alive_ns:
            return GONE
        device = state.devices[instance.device]
        if device.plan is None or now_ns - device.planned_ns >= settings.keep_alive_ns:
            device.plan = residencies(device, state, now_ns)
            device.planned_ns = now_ns
        planned = device.plan.get(instance.id)
        if planned is not None:
            return planned
        # It came to rest since the plan was made: it holds its bytes already, and keeps them
        # while it is called at all and nobody waits for them.
        called = state.estimates(instance.function.id).rate.per_second(now_ns) > 0
        return PARKED if called and not device.blocked else DORMANT


@dataclass(frozen=True, slots=True)
class ByExpectedArrival:
    """InstaInfer: libraries and model are in a warm container whenever its next call is expected
    within a keep-alive, by its mean time between calls; otherwise the container alone is kept."""

    forks: bool = False
    template_libraries: bool = False

    @property
    def name(self) -> str:
        return "opportunistic-by-expected-arrival"

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        settings = state.world.settings
        idle_ns = now_ns - instance.idle_since_ns
        if idle_ns >= settings.container_keep_alive_ns:
            return GONE
        rate = state.estimates(instance.function.id).rate.per_second(now_ns)
        if not rate:
            return DORMANT
        expected_ns = 1e9 / rate - idle_ns
        return AWAKE if 0 <= expected_ns <= settings.keep_alive_ns else DORMANT
