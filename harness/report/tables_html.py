"""Tables of the HTML page: the comparison with intervals, and the differences of manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .grid import MISSING, Grid, grids

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..records import Cell

_JOINT = re.compile(r"([-_.,@=/](?=\w))")
"""Between the words of a name."""
_SAME_BY_NATURE = ("started_at", "run_id", "workload.provenance")


def summary_table(found: Comparison) -> str:
    """One table per load: metrics by system with 95 % intervals, and ratios to the baseline."""
    return "".join(_table(grid) for grid in grids(found))


def _table(grid: Grid) -> str:
    body = [
        [broken(line.label), escape(line.n), *map(_number, line.values, line.ratios)]
        for line in grid.lines
    ]
    return _html("; ".join([grid.title, *grid.remarks]), ["", "n", *grid.heads], body)


def _number(value: str, ratio: str) -> str:
    return f"{escape(value)}<br><small>{escape(ratio)}</small>" if ratio else escape(value)


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
    """Return a table of texts."""
    return _html(title, head, ([broken(cell) for cell in row] for row in body))


def broken(text: str) -> str:
    """Escape a text so that a line may end within a long name only where its words do."""
    return _JOINT.sub(r"\1<wbr>", escape(text))


def _html(title: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table; ``body`` is HTML."""
    top = "".join(f'<th scope="col">{broken(each)}</th>' for each in head)
    rows = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{each}</td>" for each in rest) + "</tr>"
        for first, *rest in body
    )
    return (
        f'<div class="scroll"><table><caption><span>{broken(title)}</span></caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
