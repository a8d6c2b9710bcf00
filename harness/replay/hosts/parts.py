"""Accepts the records of load workers on other hosts, for their own requests only."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..plan import Plan
from ..records import read_part


def take_part(path: Path, plan: Plan) -> None:
    """Move a load worker's records to the path of its part of ``plan``. Raise ``ValueError`` if
    another worker has that part, or if they contain requests of another part."""
    target = plan.out_dir / path.name
    if target.exists():
        raise ValueError(f"{path.name} is of another load worker")
    worker = [plan.part(each) for each in range(plan.workers)].index(target)
    if any(row % plan.workers != worker for row in _rows(path)):
        raise ValueError(f"{path.name} has requests of another load worker")
    path.rename(target)


def _rows(path: Path) -> list[int]:
    try:
        rows: list[int] = read_part(path)["row"].to_pylist()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{path.name} has no records of requests") from error
    return rows
