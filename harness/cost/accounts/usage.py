"""What the cost of a cell is computed from, as its records have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from ...records.schema import is_host
from ..busy import Intervals, Times, merge
from ..requests import served

if TYPE_CHECKING:
    import pandas as pd

    from ...records import Cell

RENTED = "instance_hours"
_MEASURED = ("measured-nvml", "measured-pss")
"""The driver's count of device memory, the kernel's of host memory."""
_HOLDER = ["device", "owner", "function_id"]


@dataclass(frozen=True)
class Usage:
    """``billed``: quantities of the bill by resource, in its units. ``held``, ``busy``: by device
    without host memory, when anything is held on it and when a request is in service there.
    ``calls``, ``calls_s``: the requests that were sent, and the seconds from send to last token (of
    a failed one, to its end) of all together. ``rented``: whether the system is kept up.
    ``measured_gb``: mean of what driver and kernel counted of its processes, by device and host;
    ``in_flight_s``: seconds in which at least one request was sent and not answered in full."""

    billed: Mapping[str, float]
    held: Mapping[str, Intervals]
    busy: Mapping[str, Intervals]
    calls: int
    calls_s: float
    rented: bool
    duration_s: float = 0.0
    measured_gb: Mapping[str, float] = field(default_factory=dict)
    in_flight_s: float = 0.0

    @classmethod
    def of(cls, cell: Cell) -> Self:
        requests = cell.table("requests").to_pandas()
        billed = cell.table("billing").to_pandas().groupby("resource")["quantity"].sum()
        memory = cell.table("memory").to_pandas()
        duration_s = cell.summary["duration_s"]
        sent = requests[requests["sent_ns"].notna()]
        answered = sent["status"] == "ok"
        ends_ns = sent["last_token_ns"].where(answered).fillna(sent["end_ns"])
        over = ends_ns.notna()  # of a request that is rejected, virtual time knows no end
        return cls(
            billed={str(resource): float(quantity) for resource, quantity in billed.items()},
            held=_held(memory, round(duration_s * 1e9)),
            busy=_busy(served(requests, cell.table("spans").to_pandas())),
            calls=len(sent),
            calls_s=float((ends_ns - sent["sent_ns"]).sum() / 1e9),
            rented=RENTED in billed.index,
            duration_s=duration_s,
            measured_gb=_measured_gb(memory),
            in_flight_s=_union_s(sent["sent_ns"][over], ends_ns[over]),
        )


def seconds(intervals: Intervals) -> float:
    """Return the length of merged ``intervals``."""
    return float((intervals.end_ns - intervals.start_ns).sum() / 1e9)


def overlap_s(some: Intervals, others: Intervals) -> float:
    """Return for how many seconds two sets of merged intervals overlap."""
    columns = (np.concatenate(pair) for pair in zip(some, others, strict=True))
    return seconds(some) + seconds(others) - seconds(merge(Intervals(*columns)))


def _busy(served: pd.DataFrame) -> dict[str, Intervals]:
    return {
        str(device): merge(Intervals(part["start_ns"].to_numpy(), part["end_ns"].to_numpy()))
        for device, part in served.groupby("device")
    }


def _held(memory: pd.DataFrame, end_ns: int) -> dict[str, Intervals]:
    ledger = memory[(memory["source"] == "ledger") & ~memory["device"].map(is_host)]
    steps = ledger.sort_values("t_ns", kind="stable")
    before = steps.groupby(_HOLDER, dropna=False)["bytes"].shift(fill_value=0)
    changes = steps.assign(change=steps["bytes"] - before)
    return {
        str(device): _positive(part["t_ns"].to_numpy(), part["change"].to_numpy(), end_ns)
        for device, part in changes.groupby("device")
    }


def _union_s(starts_ns: pd.Series[int], ends_ns: pd.Series[int]) -> float:
    return seconds(merge(Intervals(*(np.asarray(s, np.int64) for s in (starts_ns, ends_ns)))))


def _measured_gb(memory: pd.DataFrame) -> dict[str, float]:
    samples = memory[memory["source"].isin(_MEASURED)].groupby("device")["bytes"].mean()
    return {str(place): float(nbytes) / 1e9 for place, nbytes in samples.items()}


def _positive(at: Times, change: Times, end_ns: int) -> Intervals:
    """Return when the sum of the changes is above zero, within [0, ``end_ns``)."""
    some = np.cumsum(change) > 0
    until = np.append(at[1:], end_ns)
    return merge(Intervals(at[some], until[some]).within(end_ns))
