"""The table of what a live run would cost under other accountings."""

from __future__ import annotations

from pathlib import Path

from ..cost import Usage, accountings
from ..records import Cell, open_run
from ..report.numbers import shown
from .block import Block


def live_accountings(block: Block, reference: Path) -> str:
    """A row per workload and system of one repeat, where there is one: the bill of the run, and
    what it would be under the accountings of ``rows``, with their titles or ``heads`` as columns.
    """
    cells = {(c.workload, c.system): c for c in open_run(reference / block.record).cells()}
    known = accountings()
    heads = block.heads or [known[name].title for name in block.rows]
    lines = [["", "", "as billed", *heads], ["---", "---", *["--:"] * (len(heads) + 1)]]
    for workload in block.workloads:
        title = workload
        for system in (each for each in block.systems if (workload, each) in cells):
            lines.append([title, system, *_costs(cells[workload, system], block.rows)])
            title = ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _costs(cell: Cell, names: tuple[str, ...]) -> list[str]:
    known, usage = accountings(), Usage.of(cell)
    usd = [cell.summary["cost_usd"], *(known[name].usd(usage) for name in names)]
    return [shown(each, None, "$") for each in usd]
