"""The tables of a probe cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from harness.errors import HarnessError

from .overlap import Interval, Part, parts

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Cell

STOPPED = 10.0
"""An interval between tokens that lasts more than so many times the request's median interval is no
step: something else held the machine up. The last one of a batch whose requests all end at once
is up to five times as long, because each end gives memory back."""


class StageSpan(NamedTuple):
    """A stage of a request. ``stops``: the intervals between its tokens in which the machine was
    held up, in ns after its first token."""

    start_ns: int
    end_ns: int
    instance_id: str
    prompt_tokens: int
    output_tokens: int
    stops: tuple[Interval, ...] = ()

    @property
    def interval(self) -> Interval:
        return self.start_ns, self.end_ns

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def context(self) -> float:
        """The tokens that the request has cached while it decodes, on average."""
        return self.prompt_tokens + self.output_tokens / 2

    def cached_at(self, at_ns: int) -> float:
        """Return the tokens that the request has cached at a time while it decodes."""
        done = (at_ns - self.start_ns) / (self.end_ns - self.start_ns)
        return self.prompt_tokens + 1 + done * (self.output_tokens - 1)

    @property
    def steps(self) -> int:
        """The steps of decoding, without those in which the machine was held up."""
        return self.output_tokens - 1 - len(self.stops)

    def steps_beside(self, *kinds: Sequence[Interval]) -> Iterator[Part]:
        """Yield the parts of decoding as :func:`parts` does, without those of ``stops``."""
        stops = [(self.start_ns + start, self.start_ns + end) for start, end in self.stops]
        for part in parts(self.interval, stops, *kinds):
            stopped, *beside = part.beside
            if not stopped:
                yield Part(part.seconds, tuple(beside))


class _Stopped(Protocol):
    @property
    def stops(self) -> tuple[Interval, ...]: ...


def taken_off(measured: Iterable[_Stopped]) -> str:
    """Return what to add to the source of a number that is measured without stops."""
    stops = sum(len(each.stops) for each in measured)
    told = f"intervals between a request's tokens, of over {STOPPED:g} times its median, taken off"
    return f"; {stops} {told}" if stops else ""


@dataclass(frozen=True)
class Frames:
    """A cell's answered requests, with their ``stops``, its spans and its ledger."""

    requests: pd.DataFrame
    spans: pd.DataFrame
    memory: pd.DataFrame

    def of(self, requests: Any) -> Frames:
        """Return the tables with these requests alone."""
        rows, spans = (
            each[each["request_id"].isin(requests)] for each in (self.requests, self.spans)
        )
        return Frames(rows, spans, self.memory)

    def seconds(self, stage: str, requests: Any = None) -> np.ndarray[Any, Any]:
        """Return the duration of each span of ``stage``."""
        return np.array([each.seconds for each in self.stage(stage, requests)])

    def together(self, stages: Sequence[str], requests: Any) -> np.ndarray[Any, Any]:
        """Return the total duration of ``stages`` of each of these requests."""
        rows = self.of(requests).spans
        rows = rows[rows["stage"].isin(stages)]
        seconds = (rows["end_ns"] - rows["start_ns"]) / 1e9
        return np.asarray(seconds.groupby(rows["request_id"]).sum())

    def stage(self, stage: str, requests: Any = None) -> list[StageSpan]:
        """Return the spans of ``stage``, of these requests or all."""
        rows = self.spans[self.spans["stage"] == stage]
        if requests is not None:
            rows = rows[rows["request_id"].isin(requests)]
        own = self.requests[["request_id", *StageSpan._fields[2:]]]
        columns = rows.merge(own, on="request_id")[list(StageSpan._fields)]
        return [StageSpan(*each) for each in zip(*columns.to_dict("list").values(), strict=True)]


def frames(cell: Cell) -> Frames:
    """Read the tables. Raise ``HarnessError`` if a request failed."""
    import pandas as pd

    requests = cell.requests.copy()
    if not (requests["status"] == "ok").all():
        failed = requests.loc[requests["status"] != "ok", "error"].iloc[0]
        raise HarnessError(f"profile: a probe of {cell.system} failed ({failed})")
    spans, memory = (cell.table(name).to_pandas() for name in ("spans", "memory"))
    stops = [stops_in(each) for each in requests["itl_ns"]]
    requests["stops"] = pd.Series(stops, requests.index, dtype=object)
    return Frames(requests, spans, memory[memory["source"] == "ledger"])


def stops_in(gaps_ns: Sequence[int] | None) -> tuple[Interval, ...]:
    """Return the intervals between tokens in which the machine was held up, in ns after the first
    token; none if the client could not tell the intervals."""
    if gaps_ns is None or not len(gaps_ns):
        return ()
    gaps = np.asarray(gaps_ns)
    ends = np.cumsum(gaps)
    step = np.median(gaps)
    if not step:  # Most tokens came in one piece, so that no interval is a step.
        return ()
    stopped = gaps > STOPPED * step
    return tuple(
        (int(end - gap), int(end)) for gap, end in zip(gaps[stopped], ends[stopped], strict=True)
    )
