"""Measures a server's memory from outside while it serves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from systems.interface import MemoryOwner, MemoryStep
from systems.runtime.background import Background
from systems.runtime.process_memory import shares_of_all

from .process import ServerProcess

_EVERY_S = 4.0
"""Each reading walks all page tables of the process tree: milliseconds of the server per GB."""


class Monitored(NamedTuple):
    """A server, the device that its memory counts on, and its function (None: several)."""

    server: ServerProcess
    device: str
    function_id: str | None


class PssWatch(Background):
    """Proportional set sizes (PSS) of process trees, as steps. The shares of weights, KV cache and
    others cannot be observed from outside, so the owner is ``other``."""

    def __init__(self, watched: Sequence[Monitored]) -> None:
        super().__init__("pss")
        self._watched = watched
        self._steps: list[list[MemoryStep]] = [[] for _ in watched]

    def start(self) -> None:
        self._read()
        super().start()

    @property
    def steps(self) -> tuple[MemoryStep, ...]:
        return tuple(together(self._steps))

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._read()

    def _read(self) -> None:
        for (server, device, function), steps in zip(self._watched, self._steps, strict=True):
            held = shares_of_all(process.pid for process in server.family())
            if held is not None and held.pss:
                now = time.monotonic_ns()
                steps.append(MemoryStep(now, device, MemoryOwner.OTHER, function, held.pss))


def together(parts: Iterable[Iterable[MemoryStep]]) -> Iterator[MemoryStep]:
    """Yield the steps of several servers in order of time. What they hold at once on a device for
    the same owner and function is added up, since a step replaces the one before it."""
    held: Counter[tuple[object, ...]] = Counter()
    total: Counter[tuple[object, ...]] = Counter()
    numbered = ((number, step) for number, part in enumerate(parts) for step in part)
    for number, step in sorted(numbered, key=lambda each: each[1].t_ns):
        key = (step.device, step.owner, step.function_id)
        total[key] += step.bytes - held[number, *key]
        held[number, *key] = step.bytes
        yield replace(step, bytes=total[key])
