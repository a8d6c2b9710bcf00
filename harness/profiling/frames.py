"""The tables of a probe cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Cell


_OF_REQUESTS = ("request_id", "instance_id", "prompt_tokens", "output_tokens")


@dataclass(frozen=True)
class Frames:
    """A cell's answered requests, its spans and its ledger."""

    requests: pd.DataFrame
    spans: pd.DataFrame
    memory: pd.DataFrame

    def of(self, requests: Any) -> Frames:
        """Return the tables with these requests alone."""
        of_them = (each[each["request_id"].isin(requests)] for each in (self.requests, self.spans))
        return Frames(*of_them, self.memory)

    def seconds(self, stage: str, requests: Any = None) -> np.ndarray[Any, Any]:
        """Return the duration of each span of ``stage``."""
        rows = self.stage(stage, requests)
        return np.asarray((rows["end_ns"] - rows["start_ns"]) / 1e9)

    def stage(self, stage: str, requests: Any = None) -> pd.DataFrame:
        """Return the spans of ``stage``, each with the instance and lengths of its request."""
        rows = self.spans[self.spans["stage"] == stage]
        if requests is not None:
            rows = rows[rows["request_id"].isin(requests)]
        return rows.merge(self.requests[list(_OF_REQUESTS)], on="request_id")


def frames(cell: Cell) -> Frames:
    """Read the tables. Raise ``HarnessError`` if a request failed."""
    requests = cell.requests
    if not (requests["status"] == "ok").all():
        failed = requests.loc[requests["status"] != "ok", "error"].iloc[0]
        raise HarnessError(f"profile: a probe of {cell.system} failed ({failed})")
    spans, memory = (cell.table(name).to_pandas() for name in ("spans", "memory"))
    return Frames(requests, spans, memory[memory["source"] == "ledger"])
