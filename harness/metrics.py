"""The summary of a cell: every number from its tables, times counted from the send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .assemble import residuals
from .records.cell import derive
from .stats import summarise

if TYPE_CHECKING:
    import pandas as pd

LATENCIES = ("ttft_s", "ttft_from_schedule_s", "tpot_s", "e2e_s", "lateness_s")
RESIDUAL_S, RESIDUAL_SHARE = 0.002, 0.02
"""Stages and transport must explain E2E within either, at the median."""


def summary(tables: dict[str, pa.Table], duration_s: float) -> dict[str, Any]:
    """``summary.json`` of schema 1 for one cell. ``duration_s``: from the run's start to the last
    answer's end."""
    frame = derive(tables["requests"]).sort_values("scheduled_ns")
    spans = tables["spans"].to_pandas()
    memory = tables["memory"].to_pandas()
    ok = frame["status"] == "ok"
    cost = float(sum(tables["billing"]["usd"].to_pylist()))
    return {
        "n": len(frame),
        "ok": int(ok.sum()),
        **{t: int((frame["temperature"] == t).sum()) for t in ("cold", "warm", "hot")},
        "duration_s": duration_s,
        **{name: summarise(frame.loc[ok, name].to_numpy()) for name in LATENCIES},
        "ttft_by_temperature": {
            t: summarise(frame.loc[ok & (frame["temperature"] == t), "ttft_s"].to_numpy())
            for t in ("cold", "warm", "hot")
        },
        "ttft_cold_s": _cold(frame, spans),
        "slo_violation_rate": float(1 - frame["slo_met"].mean()),
        "goodput_rps": float(frame["slo_met"].sum() / duration_s),
        "output_tokens_per_s": float(frame.loc[ok, "output_tokens"].sum() / duration_s),
        "requests_per_s": float(ok.sum() / duration_s),
        **_memory(memory, duration_s),
        "cost_usd": cost,
        "cost_effectiveness": _effectiveness(frame.loc[ok, "e2e_s"].mean(), cost),
        "usd_per_1k_requests": cost / len(frame) * 1000,
        "residual_s": _residual(frame, spans),
    }


def _effectiveness(e2e_s: float, cost_usd: float) -> float | None:
    """1 / (E2E × cost), the paper's measure; None where nothing was answered."""
    product = e2e_s * cost_usd
    return 1 / product if product > 0 else None


def _cold(frame: pd.DataFrame, spans: pd.DataFrame) -> dict[str, Any]:
    """Cold requests apart: those that waited for imports or a checkpoint, and those that found
    both in place and owed a process, a mapping and an adapter at most."""
    loads = spans[spans["stage"] == "libraries"]["request_id"].unique()
    cold = frame[(frame["temperature"] == "cold") & (frame["status"] == "ok")]
    heavy = cold["request_id"].isin(loads)
    return {
        "with_imports": summarise(cold.loc[heavy, "ttft_s"].to_numpy()),
        "without_imports": summarise(cold.loc[~heavy, "ttft_s"].to_numpy()),
    }


def _memory(memory: pd.DataFrame, duration_s: float) -> dict[str, Any]:
    """Peaks and integrals of the ledger by device and owner, and what was measured outside."""
    ledger = memory[memory["source"] == "ledger"]
    peaks: dict[str, dict[str, int]] = {}
    integrals: dict[str, dict[str, float]] = {}
    for device, columns in _held(ledger).items():
        lasting_s = np.diff(columns.index.to_numpy(), append=duration_s * 1e9) / 1e9
        total = columns.sum(axis=1)
        owners = {str(owner): columns[owner] for owner in columns} | {"all": total}
        peaks[device] = {owner: int(held.max()) for owner, held in owners.items()}
        integrals[device] = {
            owner: float((held.to_numpy() * lasting_s).sum() / 1e9)
            for owner, held in owners.items()
        }
    pss = memory[memory["source"] == "measured-pss"]["bytes"]
    measured = {"peak": int(pss.max()), "mean": float(pss.mean())} if len(pss) else None
    return {
        "memory_peak_bytes": peaks,
        "memory_gb_s": integrals,
        "measured_pss_bytes": measured,
    }


def _held(ledger: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By device, a column an owner, a row whenever anything changed: bytes from then on. Exact,
    so that no peak between two samples is missed."""
    ordered = ledger.sort_values("t_ns", kind="stable")
    keys = ["device", "owner", "function_id"]
    before = ordered.groupby(keys, dropna=False)["bytes"].shift(fill_value=0)
    changes = ordered.assign(change=ordered["bytes"] - before)
    return {
        str(device): rows.groupby(["t_ns", "owner"])["change"].sum().unstack(fill_value=0).cumsum()
        for device, rows in changes.groupby("device")
    }


def _residual(frame: pd.DataFrame, spans: pd.DataFrame) -> dict[str, float] | None:
    found = residuals(frame, spans)
    if found.empty:
        return None
    return {
        "median": float(found["residual"].abs().median()),
        "p95": float(found["residual"].abs().quantile(0.95)),
        "median_share": float((found["residual"].abs() / found["e2e"]).median()),
        "n": len(found),
    }


def residual_problem(document: dict[str, Any]) -> str | None:
    """What to say where stages and transport do not explain E2E."""
    found = document["residual_s"]
    if found is None:
        return None
    if found["median"] <= RESIDUAL_S or found["median_share"] <= RESIDUAL_SHARE:
        return None
    return (
        f"stages and transport leave {found['median'] * 1e3:.1f} ms"
        f" ({found['median_share']:.1%}) of E2E unexplained at the median; 2 ms or 2 % are allowed"
    )
