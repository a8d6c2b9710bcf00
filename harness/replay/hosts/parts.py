"""Accepts the records of load workers on other hosts, for their own requests only."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..plan import Plan
from ..records import read_part


def take_part(path: Path, plan: Plan) -> None:
    """Move the records of the worker of ``plan`` to the path of its part. Raise ``ValueError`` if
    they contain requests of another part."""
    if any(row % plan.workers != plan.worker for row in _rows(path)):
        raise ValueError(f"{path.name} has requests of another load worker")
    path.rename(plan.part(plan.worker))


def _rows(path: Path) -> list[int]:
    try:
        rows: list[int] = read_part(path)["row"].to_pylist()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{path.name} has no records of requests") from error
    return rows
