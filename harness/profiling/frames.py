"""The tables of a probe cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Cell


@dataclass(frozen=True)
class Frames:
    """A cell's answered requests, its spans and its ledger."""

    requests: pd.DataFrame
    spans: pd.DataFrame
    memory: pd.DataFrame

    def seconds(self, stage: str, requests: Any = None) -> np.ndarray[Any, Any]:
        """Return the duration of each span of ``stage``."""
        rows = self.spans[self.spans["stage"] == stage]
        if requests is not None:
            rows = rows[rows["request_id"].isin(requests)]
        return np.asarray((rows["end_ns"] - rows["start_ns"]) / 1e9)


def frames(cell: Cell) -> Frames:
    """Read the tables. Raise ``HarnessError`` if a request failed."""
    requests = cell.requests
    if not (requests["status"] == "ok").all():
        failed = requests.loc[requests["status"] != "ok", "error"].iloc[0]
        raise HarnessError(f"profile: a probe of {cell.system} failed ({failed})")
    spans, memory = (cell.table(name).to_pandas() for name in ("spans", "memory"))
    return Frames(requests, spans, memory[memory["source"] == "ledger"])
