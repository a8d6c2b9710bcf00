"""Tables of the HTML page: the comparison with intervals, and the differences of manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .brief import brief
from .grid import MISSING
from .numbers import shown, unit_of
from .title import remarks, title

if TYPE_CHECKING:
    from ..comparison import Comparison, Row
    from ..records import Cell

_SAME_BY_NATURE = ("started_at", "run_id", "workload.provenance")


def summary_table(cells: Sequence[Cell]) -> str:
    """One table per workload: metrics by system with 95 % intervals."""
    found = brief(cells)
    return "".join(_group(rows, found) for rows in (*found.segments, *found.groups))


def _group(rows: Sequence[Row], comparison: Comparison) -> str:
    systems = list(dict.fromkeys(row.entry.level for row in rows))
    found = {(row.name, row.entry.level): row for row in rows}
    body = []
    for name in dict.fromkeys(row.name for row in rows):
        mine = [found.get((name, system)) for system in systems]
        first = next((row for row in mine if row is not None), None)
        if first is None:
            continue
        part = "" if first.part == "value" else f" {first.part}"
        label = f"{first.metric.title}{part}, {unit_of(first.metric.unit)}"
        body.append([label, *map(_number, mine)])
    about = "; ".join([title(rows, comparison), *remarks(rows)])
    return html_table(about, ["", *map(str, systems)], body)


def _number(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    return shown(row.estimate.value, row.estimate.ci95, row.metric.unit)


def manifest_table(cells: Sequence[Cell]) -> str:
    """Every key in which cells of one workload and seed differ, one column per system."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(f"{cell.workload}/{cell.path.name}", []).append(cell)
    return "".join(_differences(name, group) for name, group in groups.items())


def _differences(name: str, cells: Sequence[Cell]) -> str:
    flat = [dict(_flat(cell.manifest.model_dump(mode="json"))) for cell in cells]
    keys = list(dict.fromkeys(key for each in flat for key in each))
    body = [
        [key, *(each.get(key, MISSING) for each in flat)]
        for key in keys
        if not key.startswith(_SAME_BY_NATURE) and len({each.get(key) for each in flat}) > 1
    ]
    return html_table(name, ["", *(cell.system for cell in cells)], body)


def _flat(content: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value)


def html_table(title: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(each)}</td>" for each in rest)
        + "</tr>"
        for first, *rest in body
    )
    return (
        f'<div class="scroll"><table><caption>{escape(title)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
