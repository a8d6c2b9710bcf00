"""The table of differences between simulated and live runs, from the last check of a profile."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.cells.profile_check import COMPARED

from .block import Block

HEADS = ("", "mean TTFT", "p95 TTFT", "cold starts", "cost")


def fidelity(block: Block, reference: Path) -> str:
    """One row per system: (simulated − live) / live; cold starts as counts."""
    cells = json.loads((reference / block.record).read_bytes())["cells"]
    by_system = {
        name: _mean([cell for cell in cells if cell["system"] == name]) for name in block.systems
    }
    lines = [HEADS, ("---", *["--:"] * (len(HEADS) - 1))]
    lines += [(system, *_row(by_system[system])) for system in block.systems]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _mean(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the repeats of one cell; errors are those of the means."""
    if len(cells) == 1:
        return cells[0]
    found = {}
    for name in COMPARED:
        live, simulated = (fmean(cell[name][of] for cell in cells) for of in ("live", "simulated"))
        error = simulated / live - 1 if live else None
        found[name] = {"live": f"{live:g}", "simulated": f"{simulated:g}", "error": error}
    return found


def _row(cell: dict[str, Any]) -> tuple[str, ...]:
    cold = cell["cold"]
    return (
        _percent(cell["ttft_mean_s"]["error"]),
        _percent(cell["ttft_p95_s"]["error"]),
        f"{cold['simulated']} / {cold['live']}",
        _percent(cell["cost_usd"]["error"]),
    )


def _percent(error: float | None) -> str:
    return "–" if error is None else f"{100 * error:+.0f} %".replace("-", "−")
