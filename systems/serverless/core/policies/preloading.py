"""Which artifacts are loaded, and kept, before a request needs them.

Only existing instances that are idle or asleep are pre-loaded; no instance is created for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Literal, Self

from ..artifacts import AWAKE, DORMANT, GONE, PARKED, Residency
from ..devices import Device
from ..instance import Instance
from ..policy import Policy, PolicyOptions
from ..state import State
from ..value import residencies


class Preloading(Policy, ABC):
    forks: bool = False
    """Whether instances are forked from a template; otherwise each is a new process."""
    template_libraries: bool = False
    """Whether the template holds the libraries, so that its forks have them immediately."""
    kept_by_container: Residency = GONE
    """What a container that another function takes over keeps."""

    @abstractmethod
    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        """Return the artifacts that an instance, idle past its keep-alive or asleep, should hold
        from now on; ``GONE`` ends it."""

    def adapters(self, instance: Instance, state: State, now_ns: int) -> Sequence[str]:  # noqa: ARG002
        """Return the functions whose adapters an instance that has become ready should load into
        its free places before they are called, most wanted first; by default none."""
        return ()

    def container_for(self, group: str, state: State) -> Instance | None:  # noqa: ARG002
        """Return the idle or sleeping instance of another group whose process ``group``, which has
        no instance, should take over; by default None: a container belongs to its function."""
        return None


class NoPreloading(Preloading):
    """Every instance is a new process that imports its libraries itself, and ends when its
    keep-alive does."""

    name = "none"

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:  # noqa: ARG002
        return GONE


@dataclass(frozen=True, slots=True)
class _Plan:
    """The residencies planned for the idle and sleeping instances of a device."""

    made_ns: int
    residency: Mapping[int, Residency]


class ByDensity(Preloading):
    """ServerlessLoRA: pre-loads, of a device's idle and sleeping instances, what the knapsack
    selects by loading delay × rate over bytes. A container has its own keep-alive.

    ``libraries``: whether the template holds them. If not, it is a pool of warm containers, as in
    the paper's figure: a second function's first call waits for libraries, not for a container."""

    name = "knapsack-by-density"
    forks = True

    def __init__(self, *, libraries: bool = True) -> None:
        self.template_libraries = libraries
        self._plans: dict[str, _Plan] = {}

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(libraries=options.template == "libraries")

    def device_left(self, device: str) -> None:
        self._plans.pop(device, None)

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        settings = state.cluster.settings
        if now_ns - instance.idle_since_ns >= settings.container_keep_alive_ns:
            return GONE
        device = state.devices[instance.device]
        planned = self._plan(device, state, now_ns).residency.get(instance.id)
        if planned is not None:
            return planned
        # It became idle after the plan was made: it keeps the bytes that it holds while its
        # function is called at all and no function waits for memory.
        called = state.estimates(instance.group.id).rate.per_second(now_ns) > 0
        return PARKED if called and not device.blocked else DORMANT

    def adapters(self, instance: Instance, state: State, now_ns: int) -> Sequence[str]:
        """Return the functions of the greatest density that are called at all: loading delays and
        places are equal within a group, so the rate decides. Then, if each adapter of the group has
        a place, those of functions not called yet that the host prepared at deployment."""
        group, rates = instance.group, state.called(instance.group, now_ns)
        able = (function for function in rates if function not in state.failing)
        wanted = nlargest(group.places, able, key=rates.__getitem__)
        adapters = state.cluster.adapters_of(group)
        if len(adapters) <= group.places:
            prepared = state.cluster.prepared_at_deployment()
            wanted += [each for each in prepared if each in adapters and each not in rates]
        return wanted

    def _plan(self, device: Device, state: State, now_ns: int) -> _Plan:
        """Return the plan of ``device``; make a new one when it is one keep-alive old."""
        plan = self._plans.get(device.spec.id)
        if plan is None or now_ns - plan.made_ns >= state.cluster.settings.keep_alive_ns:
            plan = _Plan(now_ns, residencies(device, state, now_ns))
            self._plans[device.spec.id] = plan
        return plan


class ByExpectedArrival(Preloading):
    """InstaInfer: libraries and model are in a warm container when its next call is expected within
    a keep-alive, by its mean time between calls; otherwise only the container is kept.

    With ``takeover``, a function without a container takes the one that another function left idle
    longest, also within its keep-alive, as in the paper's figure: *container* without its
    libraries, *libraries* with them. Only of instances that own their backbone's copy."""

    name = "opportunistic-by-expected-arrival"

    def __init__(self, *, takeover: Literal["off", "container", "libraries"] = "off") -> None:
        self._takes = takeover != "off"
        self.kept_by_container = DORMANT if takeover == "libraries" else GONE

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(takeover=options.takeover)

    def container_for(self, group: str, state: State) -> Instance | None:
        if not self._takes:
            return None
        resting = (i for d in state.devices.values() for i in map(d.instances.get, d.resting) if i)
        others = (
            each
            for each in resting
            if each.group.id != group and not each.copy.shared and state.at_rest(each)
        )
        return min(others, key=lambda each: (each.idle_since_ns, each.id), default=None)

    def residency(self, instance: Instance, state: State, now_ns: int) -> Residency:
        settings = state.cluster.settings
        idle_ns = now_ns - instance.idle_since_ns
        if idle_ns >= settings.container_keep_alive_ns:
            return GONE
        rate = state.estimates(instance.group.id).rate.per_second(now_ns)
        if not rate:
            return DORMANT
        expected_ns = 1e9 / rate - idle_ns
        return AWAKE if 0 <= expected_ns <= settings.keep_alive_ns else DORMANT
