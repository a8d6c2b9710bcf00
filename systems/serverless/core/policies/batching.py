"""Which waiting requests are prefilled together, on which instance, and when."""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from typing import Literal, NamedTuple, Self

from ..devices import Device
from ..fair_shares import in_turn
from ..instance import Instance
from ..policy import Policy, PolicyOptions
from ..state import State
from ..waiting import Request
from .joining import fitting, pays_ns, ready_ns
from .parity import Urgency, within_parity

_DEADLINE = attrgetter("deadline_ns")
_ARRIVAL = attrgetter("arrived_ns")

Waiting = Mapping[int, Request]
"""The waiting requests of a function by id, those of the longest wait first."""


class Batch(NamedTuple):
    instance: Instance
    requests: tuple[Request, ...]


class Hold(NamedTuple):
    """Run no batch before ``until_ns``, unless an event occurs first."""

    until_ns: int


class Batching(Policy, ABC):
    back_to_back: bool = False
    """Whether a batch that came during another one's prefill begins before the next decode step.
    Where functions share an instance, one that comes before another has begun is computed with it
    then, too."""

    prompts_first: bool = False
    """Whether other processes of a device decode no further while one computes prompts."""

    @abstractmethod
    def choose(self, device: Device, state: State, now_ns: int) -> Batch | Hold | None:
        """Return the batch to run next on ``device``; or until when to hold the waiting requests;
        or None if nothing can run. Called again until it returns no batch."""


def able(device: Device, state: State) -> Iterator[Instance]:
    """Yield the instances that could take a batch now. An instance prefills at most one batch at a
    time, beside the requests that it decodes; others may come to it until it begins, if it is
    ``open``. Of several tenants none exceeds its part of the device (``parity.py``)."""
    found = (
        instance
        for instance in device.waiting.values()
        if instance.takes_batches and instance.room > 0 and _has_work(instance, state)
    )
    if not state.tenants:
        return found
    return within_parity({each: _urgency(each, state) for each in found}, device, state)


def _urgency(instance: Instance, state: State) -> Urgency:
    found: dict[str, int] = {}
    for requests in _of_functions(instance, state):
        first = next(iter(requests.values()))
        tenant = state.tenants[first.function]
        found[tenant] = min(first.deadline_ns, found.get(tenant, first.deadline_ns))
    return found


def _has_work(instance: Instance, state: State) -> bool:
    waiting, places = state.queue(instance.group.id).of_function, instance.places
    if not instance.group.places:
        return bool(waiting)
    held = places.keys() & waiting.keys()
    if any(places[each].loaded for each in held):
        return True
    return not state.adapters(instance.group.id).without.isdisjoint(waiting)


def _of_functions(instance: Instance, state: State) -> Sequence[Waiting]:
    """Return the waiting requests that ``instance`` can run now, by function: those whose adapter
    is in place."""
    queue = state.queue(instance.group.id)
    if not instance.group.places:
        return tuple(queue.of_function.values())
    waiting, places = queue.of_function, instance.places
    able = [each for each in places.keys() & waiting.keys() if places[each].loaded]
    able += state.adapters(instance.group.id).without & waiting.keys()
    if len(able) > 1:
        able.sort(key=queue.since)
    return [waiting[function] for function in able]


def runnable(instance: Instance, state: State, key: Callable[[Request], int]) -> list[Request]:
    """Return the waiting requests that ``instance`` has room for and can run now, in the order of
    ``key``, of several tenants in that of their turns (``fair_shares.py``); within a function the
    key must not decrease from one request to the next."""
    if not instance.group.places:
        return list(islice(state.queue(instance.group.id), instance.room))
    waiting = _of_functions(instance, state)
    if state.tenants:
        turns = state.devices[instance.device].turns
        of_tenants = {
            tenant: _merged(those, key, instance.room)
            for tenant, those in _by_tenant(waiting, state).items()
        }
        return list(islice(in_turn(of_tenants, turns, key), instance.room))
    return list(islice(_merged(waiting, key, instance.room), instance.room))


def _by_tenant(waiting: Iterable[Waiting], state: State) -> Mapping[str, Sequence[Waiting]]:
    found: dict[str, list[Waiting]] = {}
    for requests in waiting:
        function = next(iter(requests.values())).function
        found.setdefault(state.tenants[function], []).append(requests)
    return found


def _merged(
    waiting: Sequence[Waiting], key: Callable[[Request], int], most: int
) -> Iterable[Request]:
    """Return at least the first ``most`` requests in the order of ``key``."""
    each = [requests.values() for requests in waiting]
    if len(each) == 1:
        return each[0]
    if sum(map(len, each)) <= most:  # the same order as a merge's, and sooner found
        return sorted(chain.from_iterable(each), key=key)
    return heapq.merge(*each, key=key)


@dataclass
class FirstComeFirstServed(Batching):
    """Runs at once the requests of the group whose request is oldest, up to the batch limit.

    At most ``max_prefills`` batches are in their prefill on a device (0: any number). Each waits
    for a decode step: where any request runs at once, two batches for each decode step would make
    all that run slower (E2E by up to a fifth in weak scaling, simulated)."""

    name = "first-come-first-served"
    max_prefills: int = 0

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(options.max_prefills)

    def choose(self, device: Device, state: State, now_ns: int) -> Batch | None:  # noqa: ARG002
        if self.max_prefills and device.prefilling >= self.max_prefills:
            return None
        first = min(able(device, state), key=lambda i: _first_come(i, device, state), default=None)
        if first is None:
            return None
        return Batch(first, tuple(runnable(first, state, _ARRIVAL)))


@dataclass
class FillOrExpire(Batching):
    """ServerlessLoRA's batching on two levels.

    *Local*: a group's batch is due when N requests wait (N: the room of its instance) or the slack
    of the most urgent one, SLO − M·T(n), is used up, less what T(n) is uncertain by; with
    ``max_delay_ns`` (the other reading, a fixed d), when it has waited that long. *Global*: of the
    due batches, the one with the smallest margin Δ = SLO − (w + M·T(n)) runs first, of several
    tenants in their turn. w is the time it has waited; M counts the instances at work on the device
    and this one. At most ``max_prefills`` batches are in their prefill at once (0: any).

    A full batch is not due before it pays to delay the running requests for it (``joining.py``):
    beside them it is as large as the room that a few of them just left. Nor is a batch that cannot
    be in time any more. ``hold``: ``contended`` takes every batch as due once it pays, on an idle
    device at once; ``always`` holds batches that are not full for their slack."""

    name = "fill-or-expire-smallest-margin"
    back_to_back = True
    max_prefills: int = 0
    hold: Literal["contended", "always"] = "contended"
    max_delay_ns: int | None = None
    prompts_first: bool = False

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        delay_s = options.batch_delay_s
        delay_ns = None if delay_s is None else round(delay_s * 1e9)
        return cls(options.max_prefills, options.batch_hold, delay_ns, options.prompts_first)

    def choose(self, device: Device, state: State, now_ns: int) -> Batch | Hold | None:
        if self.max_prefills and device.prefilling >= self.max_prefills:
            return None
        best: tuple[int, float, int, Instance, list[Request]] | None = None
        expires_ns: float | None = None
        for instance in able(device, state):
            margin, due_ns, requests = self._weigh(instance, device, state, now_ns)
            if due_ns <= now_ns:
                turn = state.turn(requests[0], device)
                if best is None or (turn, margin, instance.id) < best[:3]:
                    best = turn, margin, instance.id, instance, requests
            elif expires_ns is None or due_ns < expires_ns:
                expires_ns = due_ns
        if best is None:
            return None if expires_ns is None else Hold(math.ceil(expires_ns))
        _, margin, _, instance, requests = best
        if state.explain is not None:
            state.note(
                "batch",
                device=device.spec.id,
                group=instance.group.id,
                size=len(requests),
                margin_ns=margin,
                at_work=len(device.contention.at_work),
            )
        return Batch(instance, tuple(requests))

    def _weigh(
        self, instance: Instance, device: Device, state: State, now_ns: int
    ) -> tuple[float, float, list[Request]]:
        """Return the batch's margin in ns, the time when it is due, and its requests. The first of
        them has the smallest margin of all: the earliest deadline."""
        requests = runnable(instance, state, _DEADLINE)
        batch = requests[: fitting(requests, instance, device)]
        first, full = batch[0], len(requests) == instance.room
        times = state.estimates(instance.group.id).prefills
        slowdown = device.contention.with_work_of(instance.id)
        ttft_ns = times.expected_ns(len(batch), slowdown, joins=bool(instance.running))
        last_ns = first.deadline_ns - ttft_ns
        grows = not full and len(batch) == len(requests)
        due_ns = pays_ns(batch, instance, state, now_ns, grows=grows)
        if last_ns >= ready_ns(first, instance):
            expires_ns = self._expires_ns(first, last_ns - times.error_ns(ttft_ns))
            due_ns = min(due_ns, expires_ns) if full or self.hold == "contended" else expires_ns
        return last_ns - now_ns, due_ns, requests

    def _expires_ns(self, first: Request, slack_ends_ns: float) -> float:
        if self.max_delay_ns is None:
            return slack_ends_ns
        return first.arrived_ns + self.max_delay_ns


def _first_come(instance: Instance, device: Device, state: State) -> tuple[int, int, int]:
    """Return the turn, the arrival and the id of the request that is first in both."""
    heads = (next(iter(requests.values())) for requests in _of_functions(instance, state))
    return min((state.turn(each, device), each.arrived_ns, each.id) for each in heads)
