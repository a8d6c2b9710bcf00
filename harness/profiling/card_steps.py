"""The time of a card's decode steps, by their requests and the tokens that these have cached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.errors import HarnessError

from .batch_fit import least_squares
from .found import Found, Points, undisturbed
from .frames import Frames, StageSpan, taken_off
from .overlap import Interval

if TYPE_CHECKING:
    from systems.models.sizes import ModelSize

STEADY = 0.9
"""A request tells the time of a step if so much of its decoding was in batches of one size."""

INTERRUPTED = 0.01
"""The part of it in which its instance may have computed prompts."""


class Step(NamedTuple):
    """``context``: the cached tokens of all its requests, on average. ``stops``: of the
    request, taken off."""

    requests: int
    seconds: float
    context: float
    stops: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """A step of n requests takes what ``rows`` says for n, and the time to read the weights, keys
    and values at ``bytes_per_s``."""

    rows: Points
    bytes_per_s: float
    how: str
    size: ModelSize
    measured: Sequence[Step] = ()

    def alone_s(self, span: StageSpan) -> float:
        """Return the time of a step of a request that decodes alone, on average."""
        return self.step_s(1, span.context)

    def step_s(self, requests: int, context: float) -> float:
        """Return the time of a step of so many requests, one of the measured numbers, with
        ``context`` cached tokens each."""
        return dict(self.rows)[requests] + _read_s(self.size, requests * context, self.bytes_per_s)

    def numbers(self) -> dict[str, Found]:
        step, more = least_squares([(1.0, n) for n, _ in self.rows], [s for _, s in self.rows])
        line = "least squares over decode_rows_s"
        curve = (
            "steps of a hot instance by requests, lower quartiles, less weights, keys and values at"
            f" decode_bytes_per_s{taken_off(self.measured)}"
        )
        return {
            "decode_s": Found(step, line, "derived"),
            "decode_request_s": Found(more, line, "derived"),
            "decode_rows_s": Found(self.rows, curve),
        }


def decoding(
    short: Sequence[Step], long: Sequence[Step], size: ModelSize, like: Decoding | None = None
) -> Decoding:
    """Fit steps of requests of a short and of a long context. ``like``: another engine on the same
    card, whose rate of reading memory counts; the split into rows and reading follows from it.
    Raise ``HarnessError`` if no request decoded alone."""
    few, many = _by_requests(short), _by_requests(long)
    if 1 not in few:
        raise HarnessError("profile: no probe shows steps of one request; run nothing else")
    rate, how = (like.bytes_per_s, like.how) if like else _rate(few, many, size)
    rows = tuple(
        (float(each.requests), max(each.seconds - _read_s(size, each.context, rate), 0.0))
        for each in few.values()
    )
    return Decoding(rows, rate, how, size, (*short, *long))


def steps(frames: Frames, requests: Sequence[int]) -> Sequence[Step]:
    """Return the mean step of each of ``requests`` that decoded in batches of one size, with no
    prompts computed meanwhile. Raise ``HarnessError`` if there is none."""
    decodes, prefills = (_by_instance(frames.stage(each)) for each in ("decode", "prefill"))
    found = []
    for span in frames.stage("decode", requests):
        here = decodes[span.instance_id], prefills[span.instance_id]
        seconds: defaultdict[tuple[int, ...], float] = defaultdict(float)
        for part in span.steps_beside(*here):
            seconds[part.beside] += part.seconds
        whole, interrupted = sum(seconds.values()), sum(s for (_, n), s in seconds.items() if n)
        most, _ = longest = max(seconds, key=lambda beside: seconds[beside])
        if seconds[longest] >= STEADY * whole and interrupted <= INTERRUPTED * whole:
            step_s = whole / span.steps
            found.append(Step(most, step_s, most * span.context, span.stops))
    if not found:
        raise HarnessError("profile: no batch of requests decoded together; run nothing else")
    return found


def _by_instance(spans: Sequence[StageSpan]) -> Mapping[str, Sequence[Interval]]:
    found: defaultdict[str, list[Interval]] = defaultdict(list)
    for each in spans:
        found[each.instance_id].append(each.interval)
    return found


def _read_s(size: ModelSize, context: float, bytes_per_s: float) -> float:
    return (size.weights_bytes + context * size.kv_bytes_per_token) / bytes_per_s


def _by_requests(found: Sequence[Step]) -> Mapping[int, Step]:
    """Return the undisturbed step by the number of requests. Only powers of two count: other
    batches are padded to the next one."""
    by: defaultdict[int, list[Step]] = defaultdict(list)
    for step in found:
        if step.requests.bit_count() == 1:
            by[step.requests].append(step)
    return {
        count: Step(
            count,
            undisturbed([each.seconds for each in by[count]]),
            float(np.median([each.context for each in by[count]])),
        )
        for count in sorted(by)
    }


def _rate(few: Mapping[int, Step], many: Mapping[int, Step], size: ModelSize) -> tuple[float, str]:
    """Return the rate at which a step reads keys and values: by how much longer contexts slow it
    down. It is not lower than that of a step of one request, which reads all weights."""
    both = sorted(few.keys() & many.keys())
    tokens = sum(many[n].context - few[n].context for n in both)
    seconds = sum(many[n].seconds - few[n].seconds for n in both)
    least = size.weights_bytes / few[1].seconds
    if tokens * size.kv_bytes_per_token <= least * seconds or seconds <= 0:
        return least, "weights over a step of one request: longer contexts told no higher rate"
    told = " and ".join(map(str, both))
    rate = tokens * size.kv_bytes_per_token / seconds
    return rate, f"keys and values of long contexts less those of short ones, {told} requests"
