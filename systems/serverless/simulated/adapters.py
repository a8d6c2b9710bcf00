"""Adapters of shared instances in virtual time: each is parsed into its host's tier, then copied
into the places of instances. Does what ``live/adapters/tier.py`` and instances do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from systems.interface import Span, Stage
from systems.simulation.clock import Clock, Job, Shared
from systems.simulation.latency_model import LatencyModel

from ..options import MOST_PARSERS

Then = Callable[[], None]


class AdapterTier:
    """The parsed adapters of a host, up to ``limit_bytes``, least recently used out first.
    ``cores``: of the host; parsers take turns on them with other work. ``imports_ns``: a parser's
    time to import the libraries first, 0 if it is forked with them. ``on_resized`` is called with
    the change in bytes of the host memory of adapters that are held or being parsed."""

    def __init__(
        self, cores: Shared, limit_bytes: int, imports_ns: float, on_resized: Callable[[int], None]
    ) -> None:
        self._cores, self._limit_bytes, self._on_resized = cores, limit_bytes, on_resized
        self._imports_ns = imports_ns
        self._held: OrderedDict[str, int] = OrderedDict()
        self._held_bytes = 0
        self._waiting: dict[str, list[Then]] = {}
        self._wanted: dict[str, LatencyModel] = {}
        self._ahead: dict[str, LatencyModel] = {}
        self._parsing: dict[str, int] = {}

    def get(self, function: str, latency: LatencyModel, then: Then) -> None:
        """Call ``then`` at once if the adapter is held, else when it is parsed."""
        if function in self._held:
            self._held.move_to_end(function)
            then()
        else:
            self._waiting.setdefault(function, []).append(then)
            self._want(function, latency)

    def prepare(self, function: str, latency: LatencyModel) -> None:
        """Parse the adapter unless it is held, after those that are used or prepared again."""
        if function in self._held:
            self._held.move_to_end(function)
        elif function in self._ahead:
            self._want(function, latency)
        elif function not in self._parsing and function not in self._wanted:
            self._ahead[function] = latency
            self._start_parsers()

    def _want(self, function: str, latency: LatencyModel) -> None:
        self._ahead.pop(function, None)
        if function not in self._parsing:
            self._wanted[function] = latency
            self._start_parsers()

    def _start_parsers(self) -> None:
        while (queue := self._wanted or self._ahead) and len(self._parsing) < MOST_PARSERS:
            function = next(iter(queue))
            latency = queue.pop(function)
            size = self._parsing[function] = latency.size.adapter_bytes
            self._on_resized(size)
            work_ns = self._imports_ns + latency.parse_ns()
            self._cores.start(work_ns, partial(self._parsed, function))

    def _parsed(self, function: str) -> None:
        size = self._held[function] = self._parsing.pop(function)
        self._held_bytes += size
        for then in self._waiting.pop(function, ()):
            then()
        while self._held_bytes > self._limit_bytes:
            _, size = self._held.popitem(last=False)
            self._held_bytes -= size
            self._on_resized(-size)
        self._start_parsers()


class AdapterLoad:
    """An adapter in a place, or on its way there: parsed by the host's ``tier`` if it does not hold
    it, then copied over the device's ``link``. Calls ``then`` when it is in place."""

    def __init__(self, clock: Clock, link: Shared, latency: LatencyModel, then: Then) -> None:
        self._clock, self._link, self._then = clock, link, then
        self._copy_ns = latency.adapter_ns()
        self._job: Job | None = None
        self._dropped = False
        self._began_ns, self.ended_ns = clock.now, 0

    @property
    def span(self) -> Span:
        return Span(Stage.ADAPTER, self._began_ns, self.ended_ns)

    def copy(self) -> None:
        """Copy the adapter, which is parsed, unless its place was freed meanwhile."""
        if not self._dropped:
            self._job = self._link.start(self._copy_ns, self._copied)

    def _copied(self) -> None:
        self._job, self.ended_ns = None, self._clock.now
        self._then()

    def drop(self) -> None:
        """Free the place. A parser goes on, since its result stays on the host."""
        self._dropped = True
        if self._job is not None:
            self._link.cancel(self._job)
