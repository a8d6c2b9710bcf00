"""Cells that a comparison is made of, and the rows that it finds."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

from harness.comparison import Comparison, Row
from harness.metrics import summary
from harness.records import Cell, Manifest, Run, write_cell

from .made import manifest
from .made import tables as made_tables
from .many import many_requests, spans_of

COUNT = 400
DURATION_S = 60.0
OURS, BASE = "serverless-lora", "serverless-llm"


def cell(
    run: Run, of: str, seed: int = 0, repeat: int = 0, slower: float = 1.0, **changes: Any
) -> Cell:
    """Write a cell of 400 requests; serverless-llm is three times slower under the same schedule.
    ``slower`` multiplies TTFT. Repeats differ slightly, as live ones do."""
    slower *= (3.0 if of == BASE else 1.0) * (1 + repeat / 1000)
    content, found = _content(seed, slower)
    told: Manifest = manifest(run, of).model_copy(
        update={"seed": seed, "repeat": repeat, "schedule_sha256": f"s{seed}", **changes}
    )
    number = len(list(run.path.rglob("manifest.json")))
    place = run.path / of / told.workload["name"] / f"{seed}-{repeat}-{number}"
    return write_cell(place, told, content, found)


@cache
def _content(seed: int, slower: float) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return the tables of a cell and their summary."""
    requests = many_requests(COUNT, seed, slower)
    content = {**made_tables(), "requests": requests, "spans": spans_of(requests)}
    return content, summary(content, DURATION_S)


def row(found: Comparison, name: str, level: str) -> Row:
    (one,) = [r for g in found.groups for r in g if (r.name, r.entry.level) == (name, level)]
    return one
