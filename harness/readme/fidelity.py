"""The table of simulated and live quantities, from the last check of a profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.fidelity.quantities import QUANTITIES, Quantity

from ..records import open_run
from .block import Block

HEADS = ("record", "made", "system", "level", *(each.title for each in QUANTITIES), "KS")
LEFT = 4
BEYOND = "†"


def fidelity(block: Block, reference: Path) -> str:
    """One row for each system and load, newest records first: simulated / live, and the relative
    error; ``BEYOND`` marks what is beyond its bounds. The last column has the KS statistic of the
    TTFT of requests, and in brackets the largest one between two live repeats."""
    cells = json.loads((reference / block.record).read_bytes())["cells"]
    lines = [HEADS, (*["---"] * LEFT, *["--:"] * (len(HEADS) - LEFT))]
    made = {record: _made(reference / record) for record in {cell["record"] for cell in cells}}
    cells.sort(key=lambda cell: min(made[cell["record"]].values()), reverse=True)
    lines += [_row(c, made[c["record"]][c["system"], c["workload"]]) for c in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _made(record: Path) -> Mapping[tuple[str, str], str]:
    """Return when the first repeat of each cell was started, by system and workload, to the minute
    (UTC)."""
    found: dict[tuple[str, str], str] = {}
    for cell in open_run(record).cells():
        key, started = (cell.system, cell.workload), cell.manifest.started_at
        found[key] = min(found.get(key, started), started)
    return {key: started[:16].replace("T", " ") for key, started in found.items()}


def _row(cell: Mapping[str, Any], made: str) -> tuple[str, ...]:
    record = f"{cell['record']}, {cell['workload']}"
    values = (_quantity(each, cell[each.name]) for each in QUANTITIES)
    distance = _distance(cell["ttft_ks"])
    return record, made, cell["system"], cell["level"] or "–", *values, distance


def _quantity(quantity: Quantity, found: Mapping[str, Any]) -> str:
    if found["live"] is None:
        return "–"
    simulated, live = (_number(quantity.scale * found[of]) for of in ("simulated", "live"))
    error = "" if found["error"] is None else f", {100 * found['error']:+.0f} %"
    return f"{simulated} / {live}{error}{'' if found['within'] else BEYOND}".replace("-", "−")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _distance(found: Mapping[str, float | None]) -> str:
    statistic, between = found["statistic"], found["between_repeats"]
    if statistic is None:
        return "–"
    return f"{statistic:.2f}" + ("" if between is None else f" ({between:.2f})")
