"""From what went on while a request waited to the stages it is said to have waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from systems.interface import Span, Stage, StartType

PROVISIONING = frozenset(
    (Stage.WARMING, Stage.LIBRARIES, Stage.BACKBONE, Stage.ADAPTER, Stage.KERNELS)
)


@dataclass(slots=True)
class Timeline:
    """Stages that were gone through, by their owner's clock, the one under way last."""

    spans: list[Span]
    _open: dict[Stage, int]

    @classmethod
    def empty(cls) -> Timeline:
        return cls([], {})

    def begin(self, stage: Stage, now_ns: int) -> None:
        self._open[stage] = now_ns

    def ended_ns(self, stage: Stage) -> int:
        """When ``stage`` last ended; 0 where it never did."""
        return max((span.end_ns for span in self.spans if span.stage is stage), default=0)

    def end(self, stage: Stage, now_ns: int) -> None:
        start_ns = self._open.pop(stage, None)
        if start_ns is not None:
            self.spans.append(Span(stage, start_ns, now_ns))


def waited_for(provisioning: Iterable[Span], start_ns: int, end_ns: int) -> list[Span]:
    """Cover [start, end] without gap or overlap: with the provisioning that went on in it, the
    earlier begun first where two ran at once, and ``queue`` for the rest."""
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
    """Cold where no live instance could take it, so that one had to come up while it waited; warm
    where one was there and lacked artifacts; hot where everything was in place. Told from the
    evidence, never from what was meant."""
    if started_for_it:
        return StartType.COLD
    return StartType.WARM if {span.stage for span in spans} & PROVISIONING else StartType.HOT
