"""Each request's share of the bill (measurement rule 15): shares plus idle cost equal the bill.

Active cost is split equally, at each moment, over the requests in service: those of the billed
function on that device; for what the functions of a group share, those of the group's functions;
for resources that all share, all requests on the device. A request
is in service from its assignment to an instance until the instance is done with it, both as
observed by the system, so an instance cannot shift cost to others by reporting wrong times. If the
system observes neither, it is from the start of prefill to the end of decode. A request pays for
its own call. Idle cost, and active cost while no request was in service, are not assigned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IDLE = "gpu_memory_idle"
CALLS = "calls"
Groups = Mapping[str, Sequence[str]]
NO_GROUPS: Groups = MappingProxyType({})
Values = np.ndarray[Any, np.dtype[np.float64]]


def request_costs(
    billing: pa.Table,
    requests: pa.Table,
    spans: pa.Table,
    groups: Groups = NO_GROUPS,
) -> tuple[dict[int, float], float]:
    """Return (dollars by request id, unassigned dollars). They sum to the bill. ``groups``: the
    functions of each group, from the manifest. Raise ``HarnessError`` if one that is billed is not
    among them."""
    rows = billing.to_pandas()
    in_service = served(requests.to_pandas(), spans.to_pandas())
    costs = dict.fromkeys(requests["request_id"].to_pylist(), 0.0)
    calls = rows["resource"] == CALLS
    idle = float(rows.loc[rows["resource"] == IDLE, "usd"].sum())
    idle += _calls(rows[calls], requests.to_pandas(), costs)
    active = rows[~calls & (rows["resource"] != IDLE)]
    keys = [active["device"].fillna(""), active["function_id"].fillna("")]
    for (device, billed), group in active.groupby(keys):
        mine = in_service
        if billed:
            mine = mine[mine["function_id"].isin(_functions(billed, groups))]
        # Memory held on the host serves its function on any device, and a whole instance serves all
        # functions.
        if device and (not billed or (mine["device"] == device).any()):
            mine = mine[mine["device"] == device]
        shares, left = _shares(group, mine)
        for request, usd in zip(mine["request_id"], shares, strict=True):
            costs[request] += float(usd)
        idle += left
    return costs, idle


def _functions(billed: str, groups: Groups) -> Sequence[str]:
    """Return the functions of a group; of a function, itself."""
    if "@" in billed and billed not in groups:
        raise HarnessError(
            f"billing: {billed} is a group of functions; give the groups of the cell's manifest"
        )
    return groups.get(billed, (billed,))


def served(requests: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """Return served requests with their service interval [start_ns, end_ns)."""
    work = spans[spans["stage"].isin(("prefill", "decode"))]
    staged = work.groupby("request_id").agg(start_ns=("start_ns", "min"), end_ns=("end_ns", "max"))
    names = {"placed_ns": "start_ns", "done_ns": "end_ns"}
    observed = requests.set_index("request_id")[list(names)].rename(columns=names).dropna()
    when = observed.combine_first(staged).astype("int64")
    return requests[["request_id", "function_id", "device"]].merge(when, on="request_id")


def _calls(rows: pd.DataFrame, requests: pd.DataFrame, costs: dict[int, float]) -> float:
    """Charge each sent request for its call; return the dollars of calls without a request."""
    sent = requests[requests["sent_ns"].notna()]
    left = 0.0
    for function, usd in rows.groupby("function_id")["usd"].sum().items():
        mine = sent.loc[sent["function_id"] == function, "request_id"]
        if mine.empty:
            left += float(usd)
        for request in mine:
            costs[request] += float(usd) / len(mine)
    return left


def _shares(rows: pd.DataFrame, served: pd.DataFrame) -> tuple[Values, float]:
    """Return the dollars of each served request, and those of times without one.

    If ρ(t) dollars per nanosecond are billed and N(t) requests are in service, a request served
    over [a, b) pays the integral of ρ/N over it.
    """
    edges = np.unique(
        np.concatenate([rows["start_ns"], rows["end_ns"], served["start_ns"], served["end_ns"]])
    )
    length = (rows["end_ns"] - rows["start_ns"]).to_numpy()
    # A row of no length has quantity 0 and costs nothing.
    rate = rows["usd"].to_numpy() / np.maximum(length, 1)
    billed = _level(edges, rows["start_ns"], rows["end_ns"], rate)
    present = _level(edges, served["start_ns"], served["end_ns"], np.ones(len(served)))
    present = np.rint(present)
    lasting = np.diff(edges).astype(float)
    paid = billed * lasting
    each = np.divide(paid, present, out=np.zeros_like(paid), where=present > 0)
    until = np.concatenate([[0.0], np.cumsum(each)])
    first = np.searchsorted(edges, served["start_ns"])
    last = np.searchsorted(edges, served["end_ns"])
    return until[last] - until[first], float(paid[present == 0].sum())


def _level(edges: Values, starts: Any, ends: Any, heights: Values) -> Values:
    """Sum the heights of the intervals between each edge and the next."""
    change = np.zeros(len(edges))
    np.add.at(change, np.searchsorted(edges, starts), heights)
    np.add.at(change, np.searchsorted(edges, ends), -heights)
    return np.cumsum(change)[:-1]
