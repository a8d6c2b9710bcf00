"""The tables of a probe cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Cell


class StageSpan(NamedTuple):
    """A stage of a request."""

    start_ns: int
    end_ns: int
    instance_id: str
    prompt_tokens: int
    output_tokens: int

    @property
    def interval(self) -> tuple[int, int]:
        return self.start_ns, self.end_ns

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def context(self) -> float:
        """The tokens that the request has cached while it decodes, on average."""
        return self.prompt_tokens + self.output_tokens / 2


@dataclass(frozen=True)
class Frames:
    """A cell's answered requests, its spans and its ledger."""

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
    requests = cell.requests
    if not (requests["status"] == "ok").all():
        failed = requests.loc[requests["status"] != "ok", "error"].iloc[0]
        raise HarnessError(f"profile: a probe of {cell.system} failed ({failed})")
    spans, memory = (cell.table(name).to_pandas() for name in ("spans", "memory"))
    return Frames(requests, spans, memory[memory["source"] == "ledger"])
