"""One row per system, workload and backbone: the data of the main evaluation's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.natural_order import natural
from harness.records.segments import ALL, segments
from harness.stats import student_interval

from . import scales, style
from .errors import NothingToDrawError
from .frame import enclose
from .labels import loads_in_order, pattern, set_groups, short_backbone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Cell, Run

GAP = 0.8
_LEAST_USD = 0.01
COSTS = ("cost_usd", "cost_effectiveness")
_KEYS = ["system", "workload", "backbone", "metric"]


def all_systems(run: Run) -> list[str]:
    return list(dict.fromkeys(cell.system for cell in run.cells()))


def systems_of(run: Run) -> list[str]:
    """The run's systems without ablations, unless it has only ablations."""
    there = all_systems(run)
    return [name for name in there if not style.is_ablation(name)] or there


def kept(run: Run, systems: Sequence[str]) -> list[Cell]:
    """Cells of these systems with the first seed."""
    chosen = [cell for cell in run.cells() if cell.system in systems]
    first = min(cell.manifest.seed for cell in chosen)
    return [c for c in chosen if c.manifest.seed == first and not c.manifest.repeat]


def means(run: Run, metrics: Sequence[str], systems: Sequence[str]) -> pd.DataFrame:
    """Mean over the segments for each pattern and backbone; ``label`` names both. Intervals are
    over the segments, if there are at least three. Raises ``NothingToDrawError`` if none of the
    metrics is known."""
    found = _over_segments(run, metrics, systems, per_backbone=True)
    labels = found["workload"].map(pattern) + "\n" + found["backbone"].map(short_backbone)
    return found.assign(label=labels)


def totals(run: Run, metrics: Sequence[str], systems: Sequence[str]) -> pd.DataFrame:
    """Mean over the segments for each pattern, over all backbones."""
    found = _over_segments(run, metrics, systems, per_backbone=False)
    return found.drop(columns="backbone").assign(label=found["workload"].map(pattern))


def _over_segments(
    run: Run, metrics: Sequence[str], systems: Sequence[str], *, per_backbone: bool
) -> pd.DataFrame:
    rows = chosen_segments(run, systems)
    rows = rows[rows["metric"].isin(metrics) & ((rows["backbone"] != ALL) == per_backbone)]
    if not rows["value"].notna().any():
        raise NothingToDrawError(f"run {run.id}: {' and '.join(metrics)} {style.UNKNOWN}")
    found = [
        dict(zip(_KEYS, key, strict=True)) | over_segments(part["value"], part["n"])
        for key, part in rows.groupby(_KEYS)
    ]
    return _sorted(pd.DataFrame(found))


def chosen_segments(run: Run, systems: Sequence[str]) -> pd.DataFrame:
    rows = segments(run)
    return rows[rows["system"].isin(systems)]


def over_segments(values: pd.Series[Any], counts: pd.Series[Any]) -> dict[str, Any]:
    """Return mean and interval of the values, their number, and the number of requests."""
    there = values.dropna().astype(float)
    low, high = student_interval(there.tolist()) or (np.nan, np.nan)
    return {
        "value": there.mean(), "low": low, "high": high, "segments": len(there), "n": counts.sum(),
    }  # fmt: skip


def bars(
    axis: Any, rows: pd.DataFrame, unit: str, scale: float = 1.0, *, linear: bool = False
) -> None:
    """Draw groups by ``label`` with one bar per system, and whiskers if there is an interval, on a
    logarithmic axis if the lowest could not be seen else, unless it is to be ``linear``.
    ``scale``: factor from the rows' unit to the displayed one."""
    rows = rows.assign(**{name: scale * rows[name] for name in ("value", "low", "high")})
    labels = list(dict.fromkeys(rows["label"]))
    wide = not linear and scales.is_wide(rows["value"])
    foot = scales.below(rows["value"]) if wide else 0.0
    for system in style.in_order(rows["system"]):
        look = style.look(system)
        mine = rows[rows["system"] == system].set_index("label").reindex(labels)
        places, width = bar_places(rows, system)
        values = mine["value"].to_numpy(dtype=float)
        axis.bar(places, values - foot, width, foot, label=look.name, **look.fill)
        reach = np.vstack([values - mine["low"].clip(lower=foot), mine["high"] - values])
        axis.errorbar(places, values, reach, fmt="none", ecolor="black", elinewidth=0.6)
        _say(axis, places[(np.isnan(values) & mine["n"].notna()).to_numpy()], width, style.UNKNOWN)
        _say(axis, places[values == 0], width, "0")
    set_groups(axis, labels)
    axis.grid(visible=False, axis="x")
    if wide:
        scales.logarithmic(axis, "y", pd.concat([rows["value"], rows["high"]]), unit)
    else:
        axis.set_ylabel(unit)
        scales.from_zero(axis)


def cost_bars(axes: Sequence[Any], data: pd.DataFrame) -> None:
    """Draw cost and cost-effectiveness, a panel each."""
    cost, effectiveness = (data[data["metric"] == metric] for metric in COSTS)
    factor, unit = dollars(cost["value"])
    bars(axes[0], cost, f"cost, {unit}", factor)
    bars(axes[1], effectiveness, "1/(E2E × cost), 1/($·s)")


def bar_places(rows: pd.DataFrame, system: str) -> tuple[np.ndarray[Any, Any], float]:
    """Return the positions of the system's bars by label, and their width."""
    systems = style.in_order(rows["system"])
    width = GAP / len(systems)
    offset = (systems.index(system) - (len(systems) - 1) / 2) * width
    return np.arange(rows["label"].nunique()) + offset, width


def _say(axis: Any, places: np.ndarray[Any, Any], width: float, what: str) -> None:
    """Label bars that cannot be seen, since their height is unknown or zero."""
    for place in places:
        axis.text(
            place, 0.03, what, transform=axis.get_xaxis_transform(), size=style.SMALL_PT,
            rotation=90 if what == style.UNKNOWN else 0, ha="center", va="bottom",
        )  # fmt: skip
        axis.update_datalim([(place - width / 2, 0), (place + width / 2, 0)])
    axis.autoscale_view(scaley=False)


def together(cells: Sequence[Cell]) -> str:
    """Return how many backbones were served at once, if more than one and equal in all cells."""
    counts = {len(cell.manifest.deployment["backbones"]) for cell in cells}
    least = min(counts)
    if len(counts) > 1 or least == 1:
        return ""
    return f"{'both' if least == 2 else least} backbones served at once"


def dollars(values: pd.Series[Any]) -> tuple[float, str]:
    """Return the factor and the unit in which costs are shown: as in tables, millionths of a
    dollar, unless they are larger."""
    return (1.0, "$") if values.max() >= _LEAST_USD else (1e6, "millionths of $")


def prices(cells: Sequence[Cell]) -> str:
    """Name the price sheets of the cells' bills."""
    names = {str(cell.manifest.prices["name"]) for cell in cells}
    return f"prices {' and '.join(sorted(names))}"


def finish(name: str, figure: Any, cells: Sequence[Cell], data: pd.DataFrame, more: str) -> Any:
    """Add the caption and return the drawing. If ``data`` covers several segments or repeats, the
    caption says so."""
    counts = data["segments"][data["segments"] > 0]
    least, most = int(counts.min()), int(counts.max())
    between = ", 95 % over them" if "low" in data and data["low"].notna().any() else ""
    count = str(most) if least == most else f"{least} to {most}"
    parts = [f"mean of {count} runs{between}"] if most > 1 else []
    told = "; ".join(part for part in [*parts, more] if part)
    enclose(figure, style.caption(cells, told))
    return style.Drawing(name, figure, data)


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    loads = loads_in_order(rows["workload"])
    backbones = sorted(set(rows.get("backbone", ())), key=natural)
    places = {
        "workload": {name: index for index, name in enumerate(loads)},
        "backbone": {name: index for index, name in enumerate(backbones)},
    }
    by = [column for column in ("workload", "backbone", "metric", "system") if column in rows]
    return rows.sort_values(
        by, key=lambda c: c.map(places.get(str(c.name), str)), ignore_index=True
    )
