"""One self-contained HTML page about runs: no network, no other files."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from ..comparison import declared_baseline
from ..errors import HarnessError
from .brief import brief
from .cells import cell_data
from .sweep import sweep_data
from .tables_html import broken, manifest_table, summary_table
from .warnings import warnings

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..records import Cell, Run


def page(runs: Sequence[Run]) -> str:
    """Return the page's HTML. Raises ``HarnessError`` if the runs have no finished cell."""
    cells = [(run, run.cells()) for run in runs]
    cells = [(run, found) for run, found in cells if found]
    if not cells:
        raise HarnessError("nothing to report: the runs hold no finished cell")
    compared = [(run, _compared(run, found)) for run, found in cells]
    heads = [_head(run, several=len(cells) > 1) for run, _ in cells]
    told = [text for run, found in cells for text in warnings(run, found)]
    return Template(_part("page.html")).substitute(
        name=escape(", ".join(run.id for run in runs)),
        title=broken(", ".join(run.id for run in runs)),
        warnings="".join(f"<li>{broken(text)}</li>" for text in told) or "<li>none</li>",
        summary="".join(map("".join, zip(heads, map(summary_table, _of(compared)), strict=True))),
        manifests="".join(
            head + manifest_table(found) for head, (_, found) in zip(heads, cells, strict=True)
        ),
        data=_json([cell for run, found in cells for cell in cell_data(run, found)]),
        sweeps=_json([row for run, found in compared for row in sweep_data(run, found)]),
        style=_part("page.css"),
        script=_part("page.js"),
        library=_library(),
    )


def _compared(run: Run, cells: Sequence[Cell]) -> Comparison:
    return brief(cells, declared_baseline(run.experiment, {cell.system for cell in cells}))


def _of(compared: Sequence[tuple[Run, Comparison]]) -> Iterator[Comparison]:
    yield from (found for _, found in compared)


def _head(run: Run, *, several: bool) -> str:
    """Return the heading that separates a run from others."""
    return f"<h3>{broken(run.id)}</h3>" if several else ""


def _json(content: object) -> str:
    """Encode for a script element, which no string in the data must close, nor keep open."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


@cache
def _library() -> str:
    """Return the charting library, compressed to two fifths: the page unpacks it."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    return base64.b64encode(packed).decode()


def _part(name: str) -> str:
    return (files("harness") / "report" / "parts" / name).read_text(encoding="utf-8")
