"""Numbers from the memory table: the system's ledger (exact), and measurements from outside."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Ledger:
    """By device and owner (and ``all`` owners of a device): the peak in bytes and the integral in
    GB·s. ``pss``: peak and mean in bytes, measured from outside; None if not measured."""

    peak_bytes: dict[str, dict[str, int]]
    gb_s: dict[str, dict[str, float]]
    pss: dict[str, float] | None


def read_ledger(memory: pa.Table, duration_s: float) -> Ledger:
    peaks: dict[str, dict[str, int]] = {}
    integrals: dict[str, dict[str, float]] = {}
    for device, (times, owners) in _held(_of_source(memory, "ledger")).items():
        lasting_s = np.diff(times, append=duration_s * 1e9) / 1e9
        owners["all"] = np.sum(list(owners.values()), axis=0)
        peaks[device] = {owner: int(held.max()) for owner, held in owners.items()}
        integrals[device] = {
            owner: float((held * lasting_s).sum() / 1e9) for owner, held in owners.items()
        }
    return Ledger(peaks, integrals, _pss(_of_source(memory, "measured-pss").to_pandas()))


def _of_source(memory: pa.Table, source: str) -> pa.Table:
    return memory.filter(pc.equal(memory["source"], source))


def _pss(readings: pd.DataFrame) -> dict[str, float] | None:
    """Sum over all machines, which are sampled at different times; the last readings count."""
    if readings.empty:
        return None
    by_machine = readings.pivot_table(index="t_ns", columns="device", values="bytes")
    together = by_machine.ffill().sum(axis=1)
    return {"peak": int(together.max()), "mean": float(together.mean())}


def _held(ledger: pa.Table) -> dict[str, tuple[Integers, dict[str, Integers]]]:
    """By device: the times of its changes, and by owner the bytes held from each on. Exact, so that
    no peak between two samples is missed."""
    ledger = ledger.take(np.argsort(ledger["t_ns"].to_numpy(), kind="stable"))
    devices, device = _coded(ledger["device"])
    owners, owner = _coded(ledger["owner"])
    functions, function = _coded(ledger["function_id"])
    holder = (device * len(owners) + owner) * len(functions) + function
    t_ns, change = ledger["t_ns"].to_numpy(), _changes(ledger["bytes"].to_numpy(), holder)
    found: dict[str, tuple[Integers, dict[str, Integers]]] = {}
    for code, name in sorted(enumerate(devices), key=itemgetter(1)):
        mine = device == code
        times, at = np.unique(t_ns[mine], return_inverse=True)
        columns = np.zeros((len(owners), len(times)), np.int64)
        np.add.at(columns, (owner[mine], at), change[mine])
        there = np.unique(owner[mine])
        held = {owners[each]: np.cumsum(columns[each]) for each in there}
        found[name] = times, dict(sorted(held.items()))
    return found


def _coded(column: pa.ChunkedArray) -> tuple[list[str], Integers]:
    """Return the different values, and for each row the index of its value; null counts as ""."""
    coded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _changes(size: Integers, holder: Integers) -> Integers:
    """Return by how much each row, in order of time, changes what its holder held before."""
    order = np.argsort(holder, kind="stable")
    before = np.roll(size[order], 1)
    before[np.diff(holder[order], prepend=-1) != 0] = 0
    change = np.empty_like(size)
    change[order] = size[order] - before
    return change
