"""Which waiting requests are prefilled together, on which instance, and when."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Self

from ..policy import Policy, PolicyOptions
from ..state import Device, Instance, Request, State


@dataclass(frozen=True, slots=True)
class Batch:
    instance: Instance
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Run no batch before ``until_ns``, unless an event occurs first."""

    until_ns: int


class Batching(Policy, ABC):
    @abstractmethod
    def choose(self, device: Device, state: State, now_ns: int) -> Batch | Hold | None:
        """Return the batch to run next on ``device``; or until when to hold the waiting requests;
        or None if nothing can run. Called again until it returns no batch."""


def able(device: Device, state: State) -> Iterator[Instance]:
    """Yield the instances that could take a batch now. An instance prefills at most one batch at a
    time, beside the requests that it decodes."""
    limit = state.cluster.settings.max_batch_size
    for instance in device.waiting.values():
        if instance.prefilling is None and len(instance.running) < limit:
            yield instance


@dataclass
class FirstComeFirstServed(Batching):
    """Runs at once the requests of the function whose request is oldest, up to the batch limit.

    At most ``max_prefills`` batches are in their prefill on a device (0: any number)."""

    name = "first-come-first-served"
    max_prefills: int = 0

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(options.max_prefills)

    def choose(self, device: Device, state: State, now_ns: int) -> Batch | None:  # noqa: ARG002
        if self.max_prefills and device.prefilling >= self.max_prefills:
            return None
        oldest = min(able(device, state), key=lambda i: _oldest_arrival(i, state), default=None)
        if oldest is None:
            return None
        queue = state.queue(oldest.function.id)
        room = state.cluster.settings.max_batch_size - len(oldest.running)
        return Batch(oldest, tuple(islice(queue.values(), room)))


@dataclass
class FillOrExpire(Batching):
    """ServerlessLoRA's batching on two levels.

    *Local*: a function's batch is due when N requests wait (N: the batch limit) or the slack of the
    oldest one, SLO − M·T(n), is used up; with ``max_delay_ns`` (the other reading, a fixed d), when
    the oldest has waited that long. *Global*: of the due batches, the one with the smallest margin
    Δ = SLO − (w + M·T(n)) runs first. w is the time it has waited; M counts the batches in their
    prefill and this one. At most ``max_prefills`` run at once (0: any).

    ``hold``: ``contended`` holds no batch while one more would not slow down the device, since
    waiting would gain nothing; ``always`` holds batches even then."""

    name = "fill-or-expire-smallest-margin"
    max_prefills: int = 0
    hold: Literal["contended", "always"] = "contended"
    max_delay_ns: int | None = None

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        delay_s = options.batch_delay_s
        delay_ns = None if delay_s is None else round(delay_s * 1e9)
        return cls(options.max_prefills, options.batch_hold, delay_ns)

    def choose(self, device: Device, state: State, now_ns: int) -> Batch | Hold | None:
        if self.max_prefills and device.prefilling >= self.max_prefills:
            return None
        slowdown = device.slowdown(device.prefilling + 1)
        free = self.hold == "contended" and device.prefilling < device.spec.slots
        best: tuple[float, int, Instance, int] | None = None
        expires_ns: float | None = None
        for instance in able(device, state):
            margin, due_ns, size = self._weigh(instance, slowdown, state, now_ns)
            if free or due_ns <= now_ns:
                if best is None or (margin, instance.id) < best[:2]:
                    best = margin, instance.id, instance, size
            elif expires_ns is None or due_ns < expires_ns:
                expires_ns = due_ns
        if best is None:
            return None if expires_ns is None else Hold(math.ceil(expires_ns))
        margin, _, instance, size = best
        if state.explain is not None:
            state.note(
                "batch",
                device=device.spec.id,
                function=instance.function.id,
                size=size,
                margin_ns=margin,
                prefills=device.prefilling + 1,
            )
        queue = state.queue(instance.function.id)
        return Batch(instance, tuple(islice(queue.values(), size)))

    def _weigh(
        self, instance: Instance, slowdown: float, state: State, now_ns: int
    ) -> tuple[float, float, int]:
        """Return the batch's margin in ns, the time when it is due, and its size."""
        queue = state.queue(instance.function.id)
        room = state.cluster.settings.max_batch_size - len(instance.running)
        size = min(len(queue), room)
        oldest = next(iter(queue.values()))
        ttft_ns = slowdown * state.estimates(instance.function.id).law.ttft_ns(size)
        slack_ns = instance.function.slo_ttft_ns - ttft_ns
        margin = slack_ns - (now_ns - oldest.arrived_ns)
        if size == room:
            return margin, now_ns, size
        delay_ns = slack_ns if self.max_delay_ns is None else self.max_delay_ns
        return margin, oldest.arrived_ns + delay_ns, size


def _oldest_arrival(instance: Instance, state: State) -> tuple[int, int]:
    request = next(iter(state.queue(instance.function.id).values()))
    return request.arrived_ns, request.id
