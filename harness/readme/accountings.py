"""The table of what the same usage costs under each accounting, along what a sweep varies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..claims.best import Best, percent
from ..claims.evaluation import pattern
from ..cost import accountings
from ..records.files import STUDY, read_kept
from ..reference.accounted import COST, under
from ..reference.numbers import ratio_of
from .block import Block

_Rows = dict[tuple[str, float, str], list[dict[str, Any]]]
"""By metric, value of what is varied, and system: a row per load."""


def accountings_table(block: Block, reference: Path) -> str:
    """A row per accounting and value: what ``baseline`` costs for each load of ``workloads``, and
    by how much it is cheaper than each of ``systems``, at most over the loads, with that load."""
    folder = reference / block.record
    study = json.loads((folder / STUDY).read_bytes())["study"]
    found: _Rows = defaultdict(list)
    for row in read_kept(folder / "numbers.parquet").to_pylist():
        found[row["metric"], row["at"], row["system"]].append(row)
    loads = [f"{block.baseline}, {pattern(each)}, $" for each in block.workloads]
    heads = ["what is paid for", study["over"], *loads, *(f"against {s}" for s in block.systems)]
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
    for name in study["accountings"]:
        title = accountings()[name].title
        for at in study["values"]:
            lines.append([title, f"{at:g}", *_cells(block, found, name, at)])
            title = ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(block: Block, found: _Rows, name: str, at: float) -> Iterator[str]:
    own = {
        row["workload"]: row["value"] for row in found[under(COST, name), at, str(block.baseline)]
    }
    yield from (f"{own[each]:.2f}" for each in block.workloads)
    for system in block.systems:
        yield _reduction(found[ratio_of(under(COST, name)), at, system])


def _reduction(ratios: Sequence[Mapping[str, Any]]) -> str:
    row = max(ratios, key=itemgetter("value"))
    best = Best.of(row, pattern(row["workload"])).reduction()
    ends = "" if best.ci95 is None else f" ({100 * best.ci95[0]:.0f}–{100 * best.ci95[1]:.0f})"
    return f"{percent(best.ratio)}{ends}, {best.where}".replace("-", "−")
