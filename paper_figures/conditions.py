"""A row a system, workload and backbone: what the figures of the main evaluation show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.stats import Series, mean_interval

from . import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Cell, Run

PATTERNS = ("azure-predictable8", "azure-normal8", "azure-bursty8")
GAP = 0.8


def kept(run: Run, systems: Sequence[str] | None = None) -> list[Cell]:
    """Cells of the first seed, of these systems where any of them is there, else of all."""
    cells = run.cells()
    chosen = [cell for cell in cells if systems and cell.system in systems] or cells
    first = min(cell.manifest.seed for cell in chosen)
    return [c for c in chosen if c.manifest.seed == first and not c.manifest.repeat]


def means(cells: Sequence[Cell], columns: Sequence[str]) -> pd.DataFrame:
    """Mean of each latency with its 95 % interval; ``label`` is pattern and backbone."""
    rows = []
    for cell in cells:
        requests = cell.requests.sort_values("scheduled_ns")
        for backbone, part in requests.groupby("backbone"):
            for column in columns:
                values = part[column].dropna().to_numpy(dtype=np.float64)
                series = Series.of(values)
                low, high = mean_interval(series) or (np.nan, np.nan)
                rows.append(
                    {
                        **_about(cell),
                        "backbone": backbone,
                        "label": f"{pattern(cell.workload)}\n{_short(str(backbone))}",
                        "metric": column,
                        "value": values.mean() if len(values) else np.nan,
                        "low": low,
                        "high": high,
                        "n": len(values),
                    }
                )
    return _sorted(pd.DataFrame(rows))


def totals(cells: Sequence[Cell], read: Callable[[Cell], dict[str, float | None]]) -> pd.DataFrame:
    """Numbers of a whole cell, by ``read``; no interval, since there is one cell of each."""
    rows = [
        {**_about(cell), "label": pattern(cell.workload), "metric": name, "value": value,
         "low": np.nan, "high": np.nan}
        for cell in cells
        for name, value in read(cell).items()
    ]  # fmt: skip
    return _sorted(pd.DataFrame(rows))


def bars(axis: Any, rows: pd.DataFrame, unit: str) -> None:
    """Groups by ``label``, a bar a system, whiskers where there is an interval."""
    systems = style.in_order(rows["system"])
    labels = list(dict.fromkeys(rows["label"]))
    width = GAP / len(systems)
    for index, system in enumerate(systems):
        name, colour, _ = style.look(system)
        mine = rows[rows["system"] == system].set_index("label").reindex(labels)
        places = np.arange(len(labels)) + (index - (len(systems) - 1) / 2) * width
        values = mine["value"].to_numpy(dtype=float)
        axis.bar(places, values, width, color=colour, label=name, linewidth=0)
        reach = np.vstack([values - mine["low"], mine["high"] - values])
        axis.errorbar(places, values, reach, fmt="none", ecolor="black", elinewidth=0.6)
    axis.set_xticks(range(len(labels)), labels)
    axis.grid(visible=False, axis="x")
    axis.set_ylabel(unit)


def legend(figure: Any, axis: Any, columns: int | None = None) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, ncols=columns or len(labels), frameon=False, loc="outside upper center"
    )


def finish(name: str, figure: Any, cells: Sequence[Cell], data: pd.DataFrame, more: str) -> Any:
    figure.supxlabel(style.caption(cells, more), fontsize=6)
    return style.Drawing(name, figure, data)


def pattern(workload: str) -> str:
    """``azure-normal8``, one of the paper's three patterns, is shown as *normal*."""
    return workload.removeprefix("azure-").rstrip("8") if workload in PATTERNS else workload


def _about(cell: Cell) -> dict[str, Any]:
    return {"system": cell.system, "workload": cell.workload}


def _short(backbone: str) -> str:
    return backbone.removeprefix("llama2-").upper() if backbone.startswith("llama2") else backbone


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    known = [*PATTERNS, *sorted(set(rows["workload"]) - set(PATTERNS))]
    places = {name: index for index, name in enumerate(known)}
    by = [column for column in ("workload", "backbone", "metric", "system") if column in rows]
    return rows.sort_values(
        by, key=lambda c: c.map(places) if c.name == "workload" else c, ignore_index=True
    )
