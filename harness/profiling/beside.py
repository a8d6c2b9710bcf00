"""How work on one card slows other work down.

Beside M batches and S starts, work takes (1 + waits · (M + share · S)) times as long as alone. How
long it takes alone is known, and so is how long what went on beside it; ``waits`` and ``share`` are
what makes both agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from .card_steps import INTERRUPTED, STEADY, Decoding
from .found import Found, as_number, median
from .frames import Frames, StageSpan, taken_off
from .overlap import Interval, Part, parts, union

MOST = 64.0
"""The largest factor that is looked for."""


class Slowed(NamedTuple):
    """Work that takes ``alone_s`` alone. ``parts``: of the time that it took, with the numbers of
    batches and of starts beside it."""

    alone_s: float
    parts: Sequence[Part]

    def left_s(self, waits: float, share: float) -> float:
        """Return the work that these factors leave undone, in s alone."""
        done = (
            seconds / (1 + waits * (batches + share * starts))
            for seconds, (batches, starts) in self.parts
        )
        return self.alone_s - sum(done)

    def beside(self, kind: int) -> bool:
        return any(part.beside[kind] for part in self.parts)


BATCHES, STARTS = 0, 1


def batches_beside(frames: Frames, requests: Sequence[int], alone: Decoding) -> dict[str, Found]:
    """``requests``: that decode at once, each by an instance of its own."""
    spans = frames.stage("decode", requests)
    told = "steps of requests beside one and two others, to those of one alone"
    return {
        "share": Found(1.0, "a batch is the unit of shares", "derived"),
        "waits": median(_waits(_decoded(frames, spans, alone)), told + taken_off(spans)),
    }


def host_rows(
    frames: Frames, requests: Sequence[int], alone: Decoding, waits: Found
) -> dict[str, Found]:
    """Return by how much a step is shorter for each of its requests beyond the first where another
    instance decodes beside it, which has the device while this one works on the host.
    ``requests``: of two instances with large batches at once; ``waits``: of batches of one."""
    spans = frames.stage("decode", requests)
    found = [
        hidden for span in spans for hidden in _hidden_s(frames, span, alone, as_number(waits))
    ]
    told = "steps of two large batches at once, to those of one alone, by request"
    return {"host_row_s": median(found, told + taken_off(spans))} if found else {}


def _hidden_s(frames: Frames, span: StageSpan, alone: Decoding, waits: float) -> Iterator[float]:
    """Yield it by one request, if its batch had one size nearly all the time, and no prompts came
    between."""
    decodes, prefills = map(frames.stage, ("decode", "prefill"))
    own, prompts = (
        [each.interval for each in stage if each.instance_id == span.instance_id]
        for stage in (decodes, prefills)
    )
    others = union(_elsewhere([*decodes, *prefills], span))
    seconds: defaultdict[tuple[int, ...], float] = defaultdict(float)
    interrupted_s = 0.0
    for part in span.steps_beside(own, others, prompts):
        *beside, computed = part.beside
        seconds[tuple(beside)] += part.seconds
        interrupted_s += part.seconds if computed else 0.0
    rows = max({rows for rows, _ in seconds}, key=lambda n: seconds[n, 0] + seconds[n, 1])
    alone_s, beside_s = seconds[rows, 0], seconds[rows, 1]
    whole_s = sum(seconds.values())
    steady = (alone_s + beside_s) / whole_s
    if steady < STEADY or interrupted_s > INTERRUPTED * whole_s:
        return
    if rows == 1 or rows not in dict(alone.rows) or beside_s <= alone_s:
        return
    step_s = alone.step_s(rows, span.context)
    steps = span.steps * steady - alone_s / step_s
    if steps > 0.0:
        yield max(step_s - beside_s / steps / (1 + waits), 0.0) / (rows - 1)


def share_of_start(frames: Frames, requests: Sequence[int], alone: Decoding, waits: Found) -> Found:
    """Return the share of a start: by how much it slows down ``requests``, which decode beside it.
    ``waits``: of batches. A start may hold a step up for as long as a stop of the machine
    does, so no interval is taken off."""
    spans = [each._replace(stops=()) for each in frames.stage("decode", requests)]
    slowed = [each for each in _decoded(frames, spans, alone) if each.beside(STARTS)]
    shares = _roots(partial(each.left_s, as_number(waits)) for each in slowed)
    return median(shares, "steps of requests beside a start, to those of one alone")


def waits_of_kernels(
    frames: Frames, requests: Sequence[int], others: Sequence[int], alone_s: Found
) -> Found:
    """Return by how much longer the kernels of ``requests`` take for each of ``others`` that
    decodes beside them, in parts of ``alone_s``."""
    batches = [each.interval for each in frames.stage("decode", others)]
    slowed = (
        Slowed(as_number(alone_s), list(parts(span.interval, batches, [])))
        for span in frames.stage("kernels", requests)
    )
    return median(_waits(slowed), "kernels beside one or two that decode, to those alone")


def beside_copies(frames: Frames, requests: Sequence[int], alone_s: float) -> dict[str, Found]:
    """Return by how much longer each of ``requests`` loads its private copy for each other one that
    does at the same time, in parts of ``alone_s``; nothing if no two of them loaded at once, which
    the imports before decide."""
    loads = frames.stage("backbone", requests)
    slowed = (
        Slowed(alone_s, list(parts(each.interval, _elsewhere(loads, each), []))) for each in loads
    )
    waits = _waits(slowed)
    told = "loads of private copies at once, to those alone"
    return {"private_beside": median(waits, told)} if waits else {}


def _decoded(frames: Frames, spans: Sequence[StageSpan], alone: Decoding) -> Iterator[Slowed]:
    """Yield the decoding of each of ``spans``."""
    decodes, prefills, kernels = map(frames.stage, ("decode", "prefill", "kernels"))
    for span in spans:
        batches = _elsewhere([*decodes, *prefills], span)
        found = span.steps_beside(batches, _elsewhere(kernels, span))
        yield Slowed(span.steps * alone.alone_s(span), list(found))


def _elsewhere(spans: Iterable[StageSpan], span: StageSpan) -> list[Interval]:
    """Return the intervals of other instances than that of ``span``."""
    return [each.interval for each in spans if each.instance_id != span.instance_id]


def _waits(slowed: Iterable[Slowed]) -> list[float]:
    beside = [each for each in slowed if each.beside(BATCHES)]
    return _roots(partial(each.left_s, share=0.0) for each in beside)


def _roots(left_s: Iterable[Callable[[float], float]]) -> list[float]:
    """Return where each of ``left_s``, which grows, is zero, from 0 on; leave out what is not zero
    before ``MOST``: what went on beside it does not explain how long it took."""
    from scipy.optimize import brentq

    explained = [each for each in left_s if each(MOST) >= 0.0]
    return [0.0 if each(0.0) >= 0.0 else float(brentq(each, 0.0, MOST)) for each in explained]
