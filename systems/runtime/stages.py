"""The stages of a request's waiting time, and its start type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from systems.interface import Span, Stage, StartType

PROVISIONING = frozenset(
    (Stage.WARMING, Stage.LIBRARIES, Stage.BACKBONE, Stage.ADAPTER, Stage.KERNELS)
)


@dataclass(slots=True)
class Timeline:
    """Finished stages, by their owner's clock, and the start times of those in progress."""

    spans: list[Span]
    _open: dict[Stage, int]

    @classmethod
    def empty(cls) -> Timeline:
        return cls([], {})

    def begin(self, stage: Stage, now_ns: int) -> None:
        self._open[stage] = now_ns

    def ended_ns(self, stage: Stage) -> int:
        """Return when ``stage`` last ended; 0 if it never did."""
        return max((span.end_ns for span in self.spans if span.stage is stage), default=0)

    def end(self, stage: Stage, now_ns: int) -> None:
        start_ns = self._open.pop(stage, None)
        if start_ns is not None:
            self.spans.append(Span(stage, start_ns, now_ns))


def waited_for(provisioning: Iterable[Span], start_ns: int, end_ns: int) -> list[Span]:
    """Cover [start, end] without gap or overlap: with the provisioning spans inside it (where two
    overlap, the earlier one takes the overlap), and with ``queue`` for the rest."""
    spans: list[Span] = []
    cursor = start_ns
    for span in sorted(provisioning, key=lambda span: span.start_ns):
        begin, finish = max(span.start_ns, cursor), min(span.end_ns, end_ns)
        if finish <= begin:
            continue
        if begin > cursor:
            spans.append(Span(Stage.QUEUE, cursor, begin))
        spans.append(Span(span.stage, begin, finish))
        cursor = finish
    if end_ns > cursor:
        spans.append(Span(Stage.QUEUE, cursor, end_ns))
    return spans


def start_type(spans: Iterable[Span], *, started_for_it: bool) -> StartType:
    """Return cold if an instance had to start while the request waited, warm if a live instance
    lacked artifacts, hot if everything was loaded. Derived from the measured spans, never from the
    platform's intention."""
    if started_for_it:
        return StartType.COLD
    lacked = any(span.stage in PROVISIONING for span in spans)
    return StartType.WARM if lacked else StartType.HOT
