"""One self-contained HTML page about runs: no network, no other files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from ..errors import HarnessError
from .cells import cell_data
from .tables_html import manifest_table, summary_table
from .warnings import warnings

if TYPE_CHECKING:
    from ..records import Run


def page(runs: Sequence[Run]) -> str:
    """Return the page's HTML. Raises ``HarnessError`` if the runs have no finished cell."""
    from plotly.offline import get_plotlyjs

    cells = [(run, run.cells()) for run in runs]
    if not any(found for _, found in cells):
        raise HarnessError("nothing to report: the runs hold no finished cell")
    data = [cell_data(run, cell) for run, found in cells for cell in found]
    told = [text for run, found in cells for text in warnings(run, found)]
    return Template(_part("page.html")).substitute(
        title=escape(", ".join(run.id for run in runs)),
        warnings="".join(f"<li>{escape(text)}</li>" for text in told) or "<li>none</li>",
        summary="".join(summary_table(found) for _, found in cells),
        manifests="".join(manifest_table(found) for _, found in cells),
        # A string in the data must not close the script element that contains it.
        data=json.dumps(data, allow_nan=False).replace("</", "<\\/"),
        style=_part("page.css"),
        script=_part("page.js"),
        library=get_plotlyjs(),
    )


def _part(name: str) -> str:
    return (files("harness") / "report" / "parts" / name).read_text(encoding="utf-8")
