"""Numbers from the memory table: the system's ledger (exact), and measurements from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Ledger:
    """By device and owner (and ``all`` owners of a device): the peak in bytes and the integral in
    GB·s. ``pss``: peak and mean in bytes, measured from outside; None if not measured."""

    peak_bytes: dict[str, dict[str, int]]
    gb_s: dict[str, dict[str, float]]
    pss: dict[str, float] | None


def read_ledger(memory: pa.Table, duration_s: float) -> Ledger:
    frame: pd.DataFrame = memory.to_pandas()
    peaks: dict[str, dict[str, int]] = {}
    integrals: dict[str, dict[str, float]] = {}
    for device, columns in _held(frame[frame["source"] == "ledger"]).items():
        lasting_s = np.diff(columns.index.to_numpy(), append=duration_s * 1e9) / 1e9
        owners = {str(owner): columns[owner] for owner in columns}
        owners["all"] = columns.sum(axis=1)
        peaks[device] = {owner: int(held.max()) for owner, held in owners.items()}
        integrals[device] = {
            owner: float((held.to_numpy() * lasting_s).sum() / 1e9)
            for owner, held in owners.items()
        }
    return Ledger(peaks, integrals, _pss(frame[frame["source"] == "measured-pss"]))


def _pss(readings: pd.DataFrame) -> dict[str, float] | None:
    """Sum over all machines, which are sampled at different times; the last readings count."""
    if readings.empty:
        return None
    by_machine = readings.pivot_table(index="t_ns", columns="device", values="bytes")
    together = by_machine.ffill().sum(axis=1)
    return {"peak": int(together.max()), "mean": float(together.mean())}


def _held(ledger: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By device, one column per owner and one row per change: the bytes held from then on. Exact,
    so that no peak between two samples is missed."""
    ordered = ledger.sort_values("t_ns", kind="stable")
    keys = ["device", "owner", "function_id"]
    before = ordered.groupby(keys, dropna=False)["bytes"].shift(fill_value=0)
    changes = ordered.assign(change=ordered["bytes"] - before)
    return {
        str(device): rows.groupby(["t_ns", "owner"])["change"].sum().unstack(fill_value=0).cumsum()
        for device, rows in changes.groupby("device")
    }
