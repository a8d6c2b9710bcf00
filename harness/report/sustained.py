"""The table of ``slbench compare --at-slo``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .grid import MISSING
from .numbers import shown, unit_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..comparison import Sustained


def sustained_table(found: Sequence[Sustained], level: float) -> Table:
    """``level``: share of requests within their objective."""
    from rich.table import Table

    table = Table(title=f"highest load at which {level:.0%} of the requests meet their SLO")
    table.add_column("", no_wrap=True)
    table.add_column("requests/s", justify="right")
    table.add_column(f"cost of 1,000 requests, {unit_of('$')}", justify="right")
    table.add_column("")
    for each in found:
        numbers = (_cell(each.rps, "1/s"), _cell(each.usd_per_1k, "$"))
        table.add_row(each.system, *numbers, each.why)
    return table


def _cell(value: float | None, unit: str) -> str:
    return MISSING if value is None else shown(value, None, unit)
