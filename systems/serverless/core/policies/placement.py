"""On which device an instance of a group is started."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from ..artifacts import ADAPTER, BACKBONE, LIBRARIES, CopyKey
from ..backbone_sources import reload_ns, rest_ns
from ..cluster_spec import GroupSpec
from ..devices import Device, TemplatePhase
from ..policy import Policy
from ..state import State


class Placement(Policy, ABC):
    @abstractmethod
    def choose(self, group: GroupSpec, state: State, now_ns: int) -> Device:
        """Return the device to start an instance of ``group`` on."""

    def choose_within(
        self,
        group: GroupSpec,
        state: State,
        now_ns: int,
        most_ns: float,  # noqa: ARG002
    ) -> Device | None:
        """Return the device that :meth:`choose` returns; or None if the start of an instance on it
        takes at least ``most_ns``, should the policy see that sooner. By default it does not."""
        return self.choose(group, state, now_ns)


_REQUESTS = 10
"""How many requests share what a start takes, unless said otherwise. Presumed: most functions of
the evaluation are called more often than that before their keep-alive ends, others less often."""


class EarliestCompletion(Placement):
    """Chooses the device where requests are due to complete soonest: where L + max(S·(1 + M/2), W)
    is smallest. S is the service time of a request alone, from its prefill to its last token. M
    counts the instances at work there, since those that decode or start contend too. Each of them
    takes an equal share until it or the request completes: S/2 on average, if what is left of it is
    as long as a whole one (memoryless). W is the wait of the oldest request there, since the wait
    of a queue's head predicts the next (Ibrahim & Whitt 2009). L is what is left of the loading of
    the backbone, which takes little where another device of the host has it, a whole loading more
    if memory is short and something must be evicted, the import of libraries if the host has no
    template ready, and what a fork takes longer than a prewarmed process if none of the backbone is
    ready there, or memory is short: what is evicted must start again. The first request waits for
    L; those that follow do not, but contend as it does. Where devices of a host copy backbones from
    each other, so that an instance may start anywhere at little cost, the loading and the fork
    therefore count only by their share in ``requests``. Of equals, the one with most free memory is
    chosen. A device with an instance of the group is chosen only if all have one.

    A large cluster is sampled: up to ``candidates`` devices that hold the backbone and as many of
    all devices, each in rotation: enough to be near the best, at a bounded cost (Mitzenmacher
    2001)."""

    name = "earliest-completion"

    def __init__(self, candidates: int = 32, requests: int = _REQUESTS) -> None:
        self.candidates, self.requests = candidates, requests
        self._turns: dict[str | None, int] = {}
        """How many devices were taken of those that hold a backbone; None: of all. With one number
        for both, each would step over the devices that the other took."""

    def choose(self, group: GroupSpec, state: State, now_ns: int) -> Device:
        return self._earliest(group, self._looked_at(group, state), state, now_ns)

    def choose_within(
        self, group: GroupSpec, state: State, now_ns: int, most_ns: float
    ) -> Device | None:
        devices = self._looked_at(group, state)
        if most_ns <= least_start_ns(group, devices, state):
            return None
        return self._earliest(group, devices, state, now_ns)

    def _earliest(
        self, group: GroupSpec, devices: Iterable[Device], state: State, now_ns: int
    ) -> Device:
        learnt = state.estimates(group.id)
        whole_ns = max(learnt.delay_ns[BACKBONE], 1.0)
        import_ns = learnt.delay_ns[LIBRARIES]
        service_ns = max(learnt.service_ns, 1.0)
        kv_bytes = group.kv_bytes(state.cluster.settings.max_context_tokens)
        own = group.adapter_bytes + group.places_bytes + group.context_bytes + kv_bytes
        absent = own + state.cluster.copy_bytes(CopyKey(group.backbone, ""))
        homes = state.homes[group.backbone]
        peers = state.cluster.settings.peer_copies
        share = 1 / self.requests if peers else 1.0
        hosts, ready = state.hosts, TemplatePhase.READY
        prewarmed = state.prewarmed[group.backbone]
        fork_ns = share * max(learnt.fork_ns - learnt.takeover_ns, 0.0) if prewarmed else 0.0
        best_ns, most_free = math.inf, 0
        found: Device | None = None
        for device in devices:
            spec = device.spec
            at_work, slots = len(device.instances) - len(device.resting) + 1, spec.slots
            due_ns = service_ns * (1 + (at_work / slots if at_work > slots else 1.0)) / 2
            if device.waiting:
                due_ns = max(due_ns, _waited_ns(device, state, now_ns))
            if due_ns > best_ns:  # what follows only adds to it
                continue
            copy, memory = homes.get(spec.id), device.memory
            free = memory.capacity - memory.used
            if copy is None:
                key = CopyKey(group.backbone, spec.id)
                left_ns = reload_ns(key, learnt, state, now_ns) if peers else whole_ns
                due_ns += max(share * left_ns, 1.0)
            elif not copy.loaded:
                due_ns += share * rest_ns(copy, learnt, state, now_ns)
            if due_ns > best_ns:
                continue
            if hosts[spec.host].template is not ready:
                due_ns += import_ns
            short = (own if copy else absent) > free
            if short:
                due_ns += whole_ns
            if fork_ns and (short or spec.id not in prewarmed):
                due_ns += fork_ns
            if due_ns < best_ns or (due_ns == best_ns and free > most_free):
                best_ns, most_free, found = due_ns, free, device
        assert found is not None, "placement requires a device"
        if state.explain is not None:
            state.note("place", group=group.id, device=found.spec.id, due_ns=best_ns)
        return found

    def _looked_at(self, group: GroupSpec, state: State) -> Sequence[Device]:
        taken = state.members(group.id).on_device
        devices = state.devices
        if len(devices) <= self.candidates:
            free = [device for id_, device in devices.items() if id_ not in taken] if taken else []
            return free or list(devices.values())
        ids = [
            *self._in_turn(state.home_ids[group.backbone], group.backbone),
            *self._in_turn(state.device_ids, None),
        ]
        free = [devices[id_] for id_ in dict.fromkeys(ids) if id_ not in taken]
        return free or [devices[id_] for id_ in ids]

    def _in_turn(self, among: Sequence[str], turn: str | None) -> Sequence[str]:
        """Return up to ``candidates`` of ``among``, those after the ones returned last for
        ``turn``."""
        count = self.candidates
        if len(among) <= count:
            return among
        taken = self._turns.get(turn, 0)
        self._turns[turn] = taken + count
        start = taken % len(among)
        first = among[start : start + count]
        return [*first, *among[: count - len(first)]]


def least_start_ns(group: GroupSpec, devices: Iterable[Device], state: State) -> float:
    """Return how long a new instance takes at least to start on any of ``devices``."""
    learnt, homes = state.estimates(group.id), state.homes[group.backbone]
    prewarmed = state.prewarmed[group.backbone]
    least_ns = learnt.fork_ns
    if prewarmed and any(device.spec.id in prewarmed for device in devices):
        least_ns = min(least_ns, learnt.takeover_ns)
    least_ns += learnt.delay_ns[ADAPTER]
    if any(device.spec.id in homes for device in devices):
        return least_ns
    reads_ns = learnt.delay_ns[BACKBONE]
    peers = state.cluster.settings.peer_copies
    return least_ns + (min(reads_ns, learnt.copy_ns) if peers else reads_ns)


def _waited_ns(device: Device, state: State, now_ns: int) -> int:
    """Return the wait of the oldest request that waits for an instance on ``device``."""
    waits = (state.waited_ns(i.group.id, now_ns) for i in device.waiting.values())
    return max(waits)
