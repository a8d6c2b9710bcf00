"""A cell's tables as arrays, one row per request of the schedule, in order of arrival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..records.objectives import Objectives, objectives
from ..stats import Series
from .ledger import Ledger, read_ledger

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
NS = 1e9
BATCH = 1 << 18


@dataclass(frozen=True, eq=False)
class Frame:
    """Times in seconds, NaN if a request did not get that far. ``duration_s``: from the run's start
    to the end of the last response."""

    tables: Mapping[str, pa.Table]
    duration_s: float

    @cached_property
    def requests(self) -> pa.Table:
        """The requests in order of arrival."""
        table = self.tables["requests"]
        due = table["scheduled_ns"].to_numpy()
        in_order = bool((due[1:] >= due[:-1]).all())
        return table if in_order else table.take(np.argsort(due, kind="stable"))

    @property
    def n(self) -> int:
        return int(self.requests.num_rows)

    def number(self, column: str) -> Floats:
        """Return a column [n], NaN for null. Nanoseconds of up to 100 days are exact."""
        found = pc.cast(self.requests[column], pa.float64(), safe=False)
        return np.asarray(found.to_numpy(), dtype=np.float64)

    def since(self, begin: str, end: str) -> Floats:
        """Return [n] seconds from one time column to another."""
        return (self.number(end) - self.number(begin)) / NS

    def answered(self, values: Floats) -> Series:
        """Select the requests with status ok: failures have no latency but count in the shares."""
        return Series.of(np.where(self.ok, values, np.nan))

    def is_(self, column: str, value: str) -> Flags:
        """Return [n]: whether the column equals ``value``; null does not."""
        found = pc.fill_null(pc.equal(self.requests[column], value), False)
        return np.asarray(found.to_numpy(), dtype=np.bool_)

    @cached_property
    def tells_start_types(self) -> bool:
        """Whether the system reported the start type of any request."""
        column = self.requests["start_type"]
        return bool(column.null_count < len(column))

    @cached_property
    def ok(self) -> Flags:
        return self.is_("status", "ok")

    @cached_property
    def objectives(self) -> Objectives:
        return objectives(self._number_or_nan, self.ok)

    @property
    def slo_met(self) -> Flags:
        """Every objective is met, [n]; False for every failure (rule 8)."""
        return self.objectives.all_met

    def _number_or_nan(self, column: str) -> Floats:
        """Return a column [n]; NaN if older records lack it."""
        known = column in self.requests.column_names
        return self.number(column) if known else np.full(self.n, np.nan)

    @cached_property
    def ttft_s(self) -> Floats:
        return self.since("sent_ns", "first_token_ns")

    @cached_property
    def e2e_s(self) -> Floats:
        return self.since("sent_ns", "last_token_ns")

    @cached_property
    def output_tokens(self) -> Floats:
        return self.number("output_tokens")

    @cached_property
    def gaps(self) -> Series | None:
        """Seconds between the tokens of answered requests; None if the records lack them."""
        if "itl_ns" not in self.requests.column_names:
            return None
        kept = self.requests["itl_ns"].filter(pa.array(self.ok)).combine_chunks()
        rows = np.flatnonzero(self.ok)[pc.list_parent_indices(kept).to_numpy()]
        values = pc.list_flatten(kept).to_numpy(zero_copy_only=False).astype(np.float64) / NS
        return Series(values, rows, self.n) if len(values) else None

    def staged(self, stage: str | None = None) -> Floats:
        """Return [n] seconds that each request spent in ``stage``, or in all stages; NaN if the
        system reported no stage of the request."""
        told = sum(self._stages.values(), start=np.zeros(self.n))
        chosen = told if stage is None else self._stages.get(stage, np.zeros(self.n))
        return np.where(told > 0, chosen, np.nan)

    @cached_property
    def _stages(self) -> dict[str, Floats]:
        """Seconds by stage, [n] each. Processed in batches: spans are by far the longest table."""
        ids = self.requests["request_id"].to_numpy()
        order = np.argsort(ids, kind="stable")
        found: dict[str, Floats] = {}
        for batch in self.tables["spans"].to_batches(max_chunksize=BATCH) if len(ids) else ():
            wanted = batch["request_id"].to_numpy()
            rows = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
            lengths = (batch["end_ns"].to_numpy() - batch["start_ns"].to_numpy()) / NS
            # Ignore spans of requests that are not in the schedule.
            lengths[ids[rows] != wanted] = 0.0
            stages = batch["stage"].dictionary_encode()
            codes = stages.indices.to_numpy()
            for code, stage in enumerate(stages.dictionary.to_pylist()):
                chosen = codes == code
                totals = found.setdefault(stage, np.zeros(self.n))
                _add(totals, rows[chosen], lengths[chosen])
        return found

    @cached_property
    def ledger(self) -> Ledger:
        return read_ledger(self.tables["memory"], self.duration_s)

    @cached_property
    def cost_usd(self) -> float | None:
        """The bill in dollars; None if nothing is billed: a foreign server's cost is unknown."""
        total = pc.sum(self.tables["billing"]["usd"]).as_py()
        return None if total is None else float(total)


def _add(totals: Floats, rows: Rows, lengths: Floats) -> None:
    """Add only within the range of these rows, which is short if the table is in row order."""
    low, high = int(rows.min()), int(rows.max()) + 1
    totals[low:high] += np.bincount(rows - low, lengths)
