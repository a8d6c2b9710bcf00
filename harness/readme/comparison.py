"""The comparison of a run's systems: one table per workload, ratios to the baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..comparison import Row, compare, metrics_of, require
from ..records import Manifest, open_run
from ..report.brief import BRIEF
from ..report.grid import MISSING, label
from ..report.numbers import shown
from .block import Block

SMALL = 0.095
_THEIRS = re.compile(r"vllm|naive")


def comparison(block: Block, reference: Path) -> str:
    cells = open_run(reference / block.record).cells()
    found = compare(cells, block.baseline, strict=False, metrics=metrics_of(block.rows or BRIEF))
    require(found, block.rows, f"block {block.name}: rows", whole=True)
    groups = {group[0].entry.workload: group for group in found.groups}
    names = block.workloads or tuple(groups)
    return "\n".join(_table(block, groups[name], found.baseline) for name in names)


def _table(block: Block, group: Sequence[Row], baseline: str | None) -> str:
    there = list(dict.fromkeys(row.entry.system for row in group))
    systems = [s for s in block.systems or there if s in there and s != baseline]
    if baseline in there:
        systems.append(str(baseline))
    rows = {(row.name, row.entry.system): row for row in group}
    names = names_of(group)
    head = ["", *(part for system in systems for part in _heads(system, names, baseline))]
    lines = [head, ["---", *("--:" for _ in head[1:])]]
    for name in block.rows or BRIEF:
        mine = [rows.get((name, system)) for system in systems]
        first = next((row for row in mine if row and row.estimate.value is not None), None)
        if first is not None:
            lines.append([label(first), *_cells(mine, systems, baseline)])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    warnings = "".join(f"\nWarning: {each}.\n" for each in warnings_of(group, systems))
    return f"*{group[0].entry.workload}*, {about(group, block)}:\n\n{table}{warnings}"


def warnings_of(group: Sequence[Row], systems: Sequence[str]) -> list[str]:
    """Return each warning of the shown systems' runs once, with the systems that have it."""
    entries = {row.entry.system: row.entry for row in group}
    having: dict[str, dict[str, None]] = {}
    for system in filter(entries.__contains__, systems):
        for cell in entries[system].cells:
            for warning in cell.manifest.warnings:
                having.setdefault(warning, {})[system] = None
    return [
        f"{'all' if len(named) == len(systems) else ', '.join(named)}: {warning}"
        for warning, named in having.items()
    ]


def names_of(group: Sequence[Row]) -> Mapping[str, str]:
    """Return the systems' names by label, with the version of what is not part of this suite."""
    found: dict[str, str] = {}
    for row in group:
        system = row.entry.cells[0].manifest.system
        version = str(system["version"])
        theirs = _THEIRS.match(str(system["name"])) and re.search(r"\d", version)
        found[row.entry.system] = f"{row.entry.system} {version}" if theirs else row.entry.system
    return found


def _heads(system: str, names: Mapping[str, str], baseline: str | None) -> Iterator[str]:
    yield names[system]
    if system != baseline:
        yield "÷ (95 %)"


def _cells(rows: Sequence[Row | None], systems: Sequence[str], base: str | None) -> Iterator[str]:
    for row, system in zip(rows, systems, strict=True):
        value = row.estimate.value if row else None
        yield MISSING if row is None or value is None else shown(value, None, row.metric.unit)
        if system != base:
            yield _ratio(row)


def _ratio(row: Row | None) -> str:
    if row is None or row.ratio is None or row.ratio.value is None:
        return MISSING
    ends = row.ratio.ci95
    return _two(row.ratio.value) + (f" ({_two(ends[0])}–{_two(ends[1])})" if ends else "")


def _two(ratio: float) -> str:
    """Two decimals, or two significant digits of a small number."""
    return f"{ratio:.2g}" if 0 < ratio < SMALL else f"{ratio:.2f}"


def about(group: Sequence[Row], block: Block) -> str:
    """Describe the table: number of requests, live or simulated, link to the records."""
    cells = group[0].entry.cells
    requests = sum(cell.summary["n"] for cell in cells)
    word = "request" if requests == 1 else "requests"
    return f"{requests:,} {word}, {_ground(cells[0].manifest)}; {block.where}"


def _ground(manifest: Manifest) -> str:
    if manifest.profile:
        return f"**simulated**, profile {manifest.profile['name']}"
    if manifest.gpus:
        return f"**live** on {manifest.gpus}"
    return f"**live** on {manifest.machine['cores']} CPU cores"
