"""Compares a simulation with the live run that it models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.cells.profile_check import COMPARED
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment import Experiment
from harness.records import Cell, Run, new_run

FILE = "fidelity.json"
ALLOWED = 0.10
"""Maximum relative error that counts as agreement."""


def check(experiment: Experiment, live: Run, profile: str, progress: Progress) -> dict[str, Any]:
    """Simulate what ``live`` ran, by ``profile``; per cell the live and simulated values and their
    relative error. Kept beside the live run's cells, the simulated ones under ``simulated/``."""
    changes = {"mode": "simulated", "profile": profile}
    simulated = experiment.model_copy(update=changes)
    run = new_run(simulated.model_dump(mode="json"), live.path / "simulated")
    Runner(simulated, run, progress).execute()
    document = {
        "profile": profile,
        "allowed": ALLOWED,
        "cells": compare(live.cells(), run.cells()),
    }
    (live.path / FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document


def compare(live: Iterable[Cell], simulated: Iterable[Cell]) -> list[dict[str, Any]]:
    """Compare cells of the same system, workload and seed."""
    twins = {(c.system, c.workload, c.path.name): c.summary for c in simulated}
    found = []
    for cell in live:
        pair = _values(cell.summary), _values(twins[cell.system, cell.workload, cell.path.name])
        rows = {
            name: {"live": a, "simulated": b, "error": _error(a, b)}
            for name, a, b in zip(COMPARED, *pair, strict=True)
        }
        found.append({"system": cell.system, "workload": cell.workload, **rows})
    return found


def lines(document: Mapping[str, Any]) -> list[str]:
    """Format one line per cell."""
    shown = []
    for cell in document["cells"]:
        parts = [
            f"{name} {cell[name]['live']:.4g} live, {cell[name]['simulated']:.4g} simulated"
            + ("" if cell[name]["error"] is None else f" ({cell[name]['error']:+.0%})")
            for name in COMPARED
            if cell[name]["live"] is not None and cell[name]["simulated"] is not None
        ]
        shown.append(f"{cell['system']} under {cell['workload']}: {'; '.join(parts)}")
    return shown


def _values(summary: Mapping[str, Any]) -> tuple[float | None, ...]:
    ttft = summary["ttft_s"]
    return ttft["mean"], ttft["p95"], summary["cold"], summary["cost_usd"]


def _error(live: float | None, simulated: float | None) -> float | None:
    if live is None or simulated is None:
        return None
    if not live:
        return 0.0 if not simulated else None
    return simulated / live - 1
