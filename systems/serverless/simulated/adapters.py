"""Adapters of shared instances in virtual time: each is parsed once on a host, then copied into the
places of its instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from systems.interface import Span, Stage
from systems.simulation.clock import Clock, Job, Shared
from systems.simulation.hardware import Hardware
from systems.simulation.latency_model import LatencyModel

Then = Callable[[], None]


class AdapterLoad:
    """The loading of an adapter into a place, which stays until the place is freed."""

    __slots__ = ("_clock", "_job", "_link", "_then", "began_ns", "dropped", "ended_ns")

    def __init__(self, clock: Clock, link: Shared, then: Then) -> None:
        self._clock, self._link, self._then = clock, link, then
        self._job: Job | None = None
        self.began_ns, self.ended_ns, self.dropped = clock.now, 0, False

    @property
    def span(self) -> Span:
        return Span(Stage.ADAPTER, self.began_ns, self.ended_ns)

    def copy(self, copy_ns: float) -> None:
        """Copy the adapter, which is parsed, unless its place was freed meanwhile."""
        if not self.dropped:
            self._job = self._link.start(copy_ns, self._copied)

    def _copied(self) -> None:
        self._job, self.ended_ns = None, self._clock.now
        self._then()

    def drop(self) -> None:
        """Free the place. A parsing goes on, since others may use its result."""
        self.dropped = True
        if self._job is not None:
            self._link.cancel(self._job)


class AdapterLoader:
    """Loads adapters into places. Remembers which ones each host has parsed."""

    def __init__(self, clock: Clock, hardware: Mapping[str, Hardware]) -> None:
        self._clock, self._hardware = clock, hardware
        self._waiting: dict[tuple[Shared, str], list[Then] | None] = {}
        """By the cores of a host and function: who waits for the parsing; None: it is done."""

    def load(self, function: str, device: str, latency: LatencyModel, then: Then) -> AdapterLoad:
        """Load the adapter of ``function`` on ``device``; call ``then`` when it is in place."""
        hardware = self._hardware[device]
        load = AdapterLoad(self._clock, hardware.link, then)
        parsed = partial(load.copy, latency.adapter_ns())
        self._parse((hardware.cores, function), latency.parse_ns(), parsed)
        return load

    def _parse(self, key: tuple[Shared, str], parse_ns: float, then: Then) -> None:
        """Call ``then`` once the adapter is parsed on this host."""
        waiting = self._waiting.setdefault(key, [])
        if waiting is None:
            then()
            return
        waiting.append(then)
        if len(waiting) == 1:
            key[0].start(parse_ns, partial(self._parsed, key))

    def _parsed(self, key: tuple[Shared, str]) -> None:
        waiting, self._waiting[key] = self._waiting[key], None
        for then in waiting or ():
            then()
