"""The value of artifacts on a device: loading delay × rate over bytes. The knapsack orders them;
pre-loading reads its order from the front, offloading from the back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from .artifacts import ADAPTER, DORMANT, PARKED, CopyKey, Residency
from .backbone_sources import reload_ns
from .cluster_spec import GroupSpec
from .devices import Device
from .instance import Instance
from .knapsack import Item, Key, fill, ordered
from .state import State


def resting(device: Device, state: State) -> list[Instance]:
    """Return the instances that may be evicted, the last used first."""
    found = [instance for instance in device.instances.values() if state.at_rest(instance)]
    found.sort(key=attrgetter("idle_since_ns"), reverse=True)
    return found


def kv_floor(group: GroupSpec, state: State) -> int:
    """Return the KV cache size of one full-length request: the minimum of a serving instance."""
    return group.kv_bytes(state.cluster.settings.max_context_tokens)


def items(instances: Sequence[Instance], state: State, now_ns: int) -> list[Item]:
    """Build a tree for each backbone copy that only these instances use: the copy, then the adapter
    of each instance with its context. A copy that others use too needs no item: it stays. What is
    not called has no value and no item."""
    ids = {instance.id for instance in instances}
    found: list[Item] = []
    after: dict[CopyKey, tuple[Key, ...]] = {}
    roots: dict[CopyKey, float] = {}
    for instance in instances:
        spec, key = instance.group, instance.copy
        learnt = state.estimates(spec.id)
        rate = learnt.rate.per_second(now_ns)
        if not rate:
            continue
        if key not in after:
            copy = state.copies.get(key)
            after[key] = (key,) if copy is None or copy.users <= ids else ()
        if after[key]:
            roots[key] = roots.get(key, 0.0) + rate * reload_ns(key, learnt, state, now_ns)
        value = rate * max(learnt.delay_ns[ADAPTER], 1.0)
        found.append(Item(instance.id, value, spec.parked_bytes, instance.device, after[key]))
    for key, value in roots.items():
        found.append(Item(key, value, state.cluster.copy_bytes(key), key.device))
    return found


def residencies(device: Device, state: State, now_ns: int) -> Mapping[int, Residency]:
    """Return ``PARKED`` for the instances that the greedy knapsack selects, of those on the device
    that may be evicted, and ``DORMANT`` for the others. Bytes of busy instances are not available.
    A KV cache is no artifact: past its keep-alive, an instance holds none for future requests."""
    instances = resting(device, state)
    able = items(instances, state, now_ns)
    capacity = {device.spec.id: device.memory.free + _held(device, instances, state)}
    order = ordered(able, capacity)
    chosen = fill(order, capacity)
    if state.explain is not None:
        state.note(
            "plan",
            device=device.spec.id,
            capacity_bytes=capacity[device.spec.id],
            chosen=len(chosen),
            of=len(able),
            lowest_density=min((b.density for b in order if b.items[0].key in chosen), default=0),
        )
    return {instance.id: PARKED if instance.id in chosen else DORMANT for instance in instances}


def _held(device: Device, instances: Iterable[Instance], state: State) -> int:
    """Return the bytes on the device that these instances could release without ending, including
    copies that no other instance uses."""
    ids = {instance.id for instance in instances}
    memory = device.memory
    own = sum([memory.held_by(each.holdings) - each.group.bare_bytes for each in instances])
    keys = {instance.copy for instance in instances}
    keys |= {copy.key for copy in state.shared_copies_on(device.spec.id) if not copy.users}
    copies = (state.copies.get(key) for key in keys)
    return own + sum(copy.bytes for copy in copies if copy and copy.users <= ids)
