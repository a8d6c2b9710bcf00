"""On which device an instance of a group is started."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ..artifacts import Artifact
from ..cluster_spec import GroupSpec
from ..policy import Policy
from ..state import Device, State


class Placement(Policy, ABC):
    @abstractmethod
    def choose(self, group: GroupSpec, state: State, now_ns: int) -> Device:
        """Return the device to start an instance of ``group`` on."""


class EarliestStart(Placement):
    """Chooses the device where the first token is due soonest: where max(S, W) + L is smallest. S
    is the time of M + 1 batches, T each; M counts the instances at work there, since those that
    decode or start contend too. W is the wait of the oldest request there, since the wait of a
    queue's head predicts the next (Ibrahim & Whitt 2009). L is the loading of the backbone, unless
    the device holds it, and as much again if memory is short and something must be evicted. Of
    equals, the one with most free memory is chosen. A device with an instance of the group is
    chosen only if all have one.

    A large cluster is sampled: up to ``candidates`` devices that hold the backbone and as many of
    all devices, in rotation: enough to be near the best, at a bounded cost (Mitzenmacher 2001)."""

    name = "earliest-start"

    def __init__(self, candidates: int = 32) -> None:
        self.candidates = candidates
        self._taken = 0

    def choose(self, group: GroupSpec, state: State, now_ns: int) -> Device:
        learnt = state.estimates(group.id)
        load_ns = max(learnt.delay_ns[Artifact.BACKBONE], 1.0)
        ttft_ns = max(learnt.law.ttft_ns(1), 1.0)
        weights = state.cluster.backbones[group.backbone].bytes
        kv_bytes = group.kv_bytes(state.cluster.settings.max_context_tokens)
        own = group.adapter_bytes + group.places_bytes + group.context_bytes + kv_bytes
        homes = state.homes.get(group.backbone, {})
        best: tuple[float, int] | None = None
        found: Device | None = None
        for device in self._looked_at(group, state):
            home = device.spec.id in homes
            free = device.memory.capacity - device.memory.used
            shared_ns = ttft_ns * device.slowdown(device.at_work + 1)
            due_ns = max(shared_ns, _waited_ns(device, state, now_ns)) + (0.0 if home else load_ns)
            if own + (0 if home else weights) > free:
                due_ns += load_ns
            score = (due_ns, -free)
            if best is None or score < best:
                best, found = score, device
        assert found is not None, "placement requires a device"
        if state.explain is not None and best is not None:
            state.note("place", group=group.id, device=found.spec.id, due_ns=best[0])
        return found

    def _looked_at(self, group: GroupSpec, state: State) -> Iterable[Device]:
        taken = {instance.device for instance in state.of_group.get(group.id, {}).values()}
        devices = state.devices
        if len(devices) <= self.candidates:
            free = [device for id_, device in devices.items() if id_ not in taken]
            return free or list(devices.values())
        homes = state.homes.get(group.backbone, {})
        ids = [*self._in_turn(homes), *self._in_turn(devices)]
        free = [devices[id_] for id_ in dict.fromkeys(ids) if id_ not in taken]
        return free or [devices[id_] for id_ in ids]

    def _in_turn(self, among: Mapping[str, Any]) -> list[str]:
        """Return up to ``candidates`` keys, those after the ones returned last."""
        count = self.candidates
        if len(among) <= count:
            return list(among)
        start = self._taken % len(among)
        self._taken += count
        first = list(islice(among, start, start + count))
        return first + list(islice(among, count - len(first)))


def _waited_ns(device: Device, state: State, now_ns: int) -> int:
    """Return the wait of the oldest request that waits for an instance on ``device``."""
    waits = (state.waited_ns(i.group.id, now_ns) for i in device.waiting.values())
    return max(waits, default=0)
