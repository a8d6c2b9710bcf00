"""A row a system, workload and backbone: what the figures of the main evaluation show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.records.segments import ALL, segments
from harness.stats import student_interval

from . import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Cell, Run

PATTERNS = ("azure-predictable8", "azure-normal8", "azure-bursty8")
GAP = 0.8
_KEYS = ["system", "workload", "backbone", "metric"]


def kept(run: Run, systems: Sequence[str] | None = None) -> list[Cell]:
    """Cells of the first seed, of these systems where any of them is there, else of all."""
    cells = run.cells()
    chosen = [cell for cell in cells if systems and cell.system in systems] or cells
    first = min(cell.manifest.seed for cell in chosen)
    return [c for c in chosen if c.manifest.seed == first and not c.manifest.repeat]


def means(run: Run, metrics: Sequence[str], systems: Sequence[str] | None = None) -> pd.DataFrame:
    """Of each pattern and backbone, the mean over the segments; ``label`` names both. Intervals
    are over the segments, where there are at least three."""
    found = _over_segments(run, metrics, systems, per_backbone=True)
    labels = found["workload"].map(pattern) + "\n" + found["backbone"].map(_short)
    return found.assign(label=labels)


def totals(run: Run, metrics: Sequence[str], systems: Sequence[str] | None = None) -> pd.DataFrame:
    """The same of each pattern, over both backbones."""
    found = _over_segments(run, metrics, systems, per_backbone=False)
    return found.drop(columns="backbone").assign(label=found["workload"].map(pattern))


def _over_segments(
    run: Run, metrics: Sequence[str], systems: Sequence[str] | None, *, per_backbone: bool
) -> pd.DataFrame:
    rows = chosen_segments(run, systems)
    rows = rows[rows["metric"].isin(metrics) & ((rows["backbone"] != ALL) == per_backbone)]
    found = [
        dict(zip(_KEYS, key, strict=True)) | over_segments(part["value"], part["n"])
        for key, part in rows.groupby(_KEYS)
    ]
    return _sorted(pd.DataFrame(found))


def chosen_segments(run: Run, systems: Sequence[str] | None) -> pd.DataFrame:
    """Rows of these systems, where any of them is there, else of all."""
    rows = segments(run)
    mine = rows["system"].isin(systems or ())
    return rows[mine] if mine.any() else rows


def over_segments(values: pd.Series[Any], counts: pd.Series[Any]) -> dict[str, Any]:
    """Their mean with its interval, how many they are and of how many requests."""
    there = values.dropna()
    low, high = student_interval(there.tolist()) or (np.nan, np.nan)
    return {
        "value": there.mean(), "low": low, "high": high, "segments": len(there), "n": counts.sum(),
    }  # fmt: skip


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
    axis.set_ylim(bottom=0)


def legend(figure: Any, axis: Any, columns: int | None = None) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, ncols=columns or len(labels), frameon=False, loc="outside upper center"
    )


def finish(name: str, figure: Any, cells: Sequence[Cell], data: pd.DataFrame, more: str) -> Any:
    """``data`` of several segments, or of repeats, says so in the caption."""
    least, most = int(data["segments"].min()), int(data["segments"].max())
    between = ", 95 % over them" if "low" in data and data["low"].notna().any() else ""
    count = str(most) if least == most else f"{least} to {most}"
    parts = [f"mean of {count} runs{between}"] if most > 1 else []
    figure.supxlabel(style.caption(cells, "; ".join([*parts, more])), fontsize=6)
    return style.Drawing(name, figure, data)


def pattern(workload: str) -> str:
    """``azure-normal8``, one of the paper's three patterns, is shown as *normal*."""
    return workload.removeprefix("azure-").rstrip("8") if workload in PATTERNS else workload


def _short(backbone: str) -> str:
    return backbone.removeprefix("llama2-").upper() if backbone.startswith("llama2") else backbone


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    known = [*PATTERNS, *sorted(set(rows["workload"]) - set(PATTERNS))]
    places = {name: index for index, name in enumerate(known)}
    by = [column for column in ("workload", "backbone", "metric", "system") if column in rows]
    return rows.sort_values(
        by, key=lambda c: c.map(places) if c.name == "workload" else c, ignore_index=True
    )
