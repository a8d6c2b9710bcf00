"""Which waiting requests are prefilled together, where, and when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from ..state import Device, Instance, Request, State


@dataclass(frozen=True, slots=True)
class Batch:
    instance: Instance
    requests: tuple[Request, ...]


class Batching(Protocol):
    @property
    def name(self) -> str: ...

    def choose(self, device: Device, state: State) -> Batch | None:
        """The batch to run next on ``device``, or None where nothing should run now. Asked
        again until it answers None."""


@dataclass(frozen=True, slots=True)
class FirstComeFirstServed:
    """Whatever waits for the function whose request is oldest, at once, up to the batch limit.

    A function joins at most one new batch at a time to those it is decoding; at most
    ``max_prefills`` batches are in their prefill on a device (0: any number)."""

    max_prefills: int = 0

    @property
    def name(self) -> str:
        return "first-come-first-served"

    def choose(self, device: Device, state: State) -> Batch | None:
        if self.max_prefills and device.prefilling >= self.max_prefills:
            return None
        limit = state.world.settings.max_batch_size
        ready = [
            instance
            for instance in device.waiting.values()
            if instance.prefilling is None and len(instance.running) < limit
        ]
        if not ready:
            return None
        oldest = min(ready, key=lambda instance: _oldest_arrival(instance, state))
        queue = state.queue(oldest.function.id)
        return Batch(oldest, tuple(islice(queue.values(), limit - len(oldest.running))))


def _oldest_arrival(instance: Instance, state: State) -> tuple[int, int]:
    request = next(iter(state.queue(instance.function.id).values()))
    return request.arrived_ns, request.id
