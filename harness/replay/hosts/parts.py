"""What load workers on other hosts recorded, taken for their own requests only."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..plan import Plan
from ..records import read_part


def take_part(path: Path, plan: Plan) -> None:
    """Move what a load worker recorded to where its part of ``plan`` belongs. ``ValueError`` where
    another worker has that part, or where it tells of requests that are not of its part."""
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
