"""Equal parts of a device's time for tenants. Each instance at work gets the same part of it, so a
tenant puts no more instances to work than other tenants have there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from ..devices import Device
from ..instance import Instance
from ..state import State

Urgency = Mapping[str, int]
"""By tenant: the earliest deadline of its waiting requests that an instance can run, in ns."""


def within_parity(
    able: Mapping[Instance, Urgency], device: Device, state: State
) -> Iterator[Instance]:
    """Yield those of ``able``, the instances that could take a batch, that a tenant may use now.

    A tenant may have one instance at work, and more if every other tenant at work on ``device`` has
    as many. What it has beyond that gets no batches until it has ended. So does one at work if a
    more urgent request of the tenant waits for an instance that is not; otherwise requests could
    wait for ever behind others of their own tenant."""
    at_work = {id_: _tenants(device.instances[id_], state) for id_ in device.contention.at_work}
    counts = Counter(tenant for tenants in at_work.values() for tenant in tenants)
    limits = {tenant: _limit(tenant, counts) for urgency in able.values() for tenant in urgency}
    idle: dict[str, int] = {}
    for instance, urgency in able.items():
        for tenant in urgency.keys() - at_work.get(instance.id, frozenset()):
            idle[tenant] = min(urgency[tenant], idle.get(tenant, urgency[tenant]))

    def allows(tenant: str, instance: Instance, deadline_ns: int) -> bool:
        count, limit = counts[tenant], limits[tenant]
        if count != limit or tenant not in at_work.get(instance.id, ()):
            return count < limit
        return deadline_ns <= idle.get(tenant, deadline_ns)

    for instance, urgency in able.items():
        if any(allows(tenant, instance, at_ns) for tenant, at_ns in urgency.items()):
            yield instance


def _tenants(instance: Instance, state: State) -> frozenset[str]:
    return frozenset(state.tenants[each.function] for each in instance.running.values())


def _limit(tenant: str, counts: Mapping[str, int]) -> float:
    """Return how many instances ``tenant`` may have at work."""
    others = [count for each, count in counts.items() if each != tenant]
    return max(min(others), 1) if others else math.inf
