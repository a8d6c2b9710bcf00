"""Cost-effectiveness along load of functions that start when they are called and of servers that
are kept up, and where the better of two turns. Of several records, those after the first are
points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import style
from .errors import NothingToDrawError
from .frame import enclose
from .labels import wide_panels
from .run_sweeps import sweeps
from .sweep import Sweep, bands_told, fit, lines
from .sweep_panels import Panel

if TYPE_CHECKING:
    from harness.records import Run

NAME = "crossing"
KINDS = ("run", "sweep")
KEPT_UP = "multi-lora"
"""The server that is kept up, with which the others are compared: of the same engine."""
_WORTH = "cost_effectiveness"
_COST, _PER_THOUSAND = "cost_usd", "usd_per_1k_requests"
PANELS = (
    Panel(_WORTH, "1/(E2E × cost of 1,000), 1/($·s)", log_y=True),
    Panel(_PER_THOUSAND, "cost of 1,000 requests, $", log_y=True),
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
)


def draw_runs(records: Sequence[Run | Sweep]) -> Iterator[style.Drawing]:
    """Yield a figure for each series of the first record. Raises ``NothingToDrawError`` if a record
    has no bills along a load."""
    others = [_comparable(each) for record in records[1:] for _, each in _sweeps(record)]
    for series, first in _sweeps(records[0]):
        yield _draw(f"{NAME}-{series}" if series else NAME, _comparable(first), others)


def _draw(name: str, first: Sweep, others: Sequence[Sweep]) -> style.Drawing:
    style.apply(system for each in (first, *others) for system in each.numbers["system"])
    figure, axes = wide_panels(len(PANELS), 1.8)
    pairs = list(zip(axes, PANELS, strict=True))
    drawn = pd.concat([_lines(axis, panel, first) for axis, panel in pairs], ignore_index=True)
    points = [_points(axis, panel, others) for axis, panel in pairs]
    data = pd.concat([drawn, *points], ignore_index=True)
    for axis, panel in pairs:
        fit(axis, data[data["metric"] == panel.metric], (), log_y=panel.log_y)
    turned = turns(first)
    for _, at in turned:
        axes[0].axvline(at, color="black", lw=0.8, ls=":")
    enclose(figure, _caption(first, others, turned, drawn))
    return style.Drawing(name, figure, data)


def turns(sweep: Sweep) -> list[tuple[str, float]]:
    """Return each system whose cost-effectiveness crosses that of the server that is kept up, with
    the load at which it does, between two loads by a straight line of logarithms."""
    rows = sweep.numbers[sweep.numbers["metric"] == _WORTH]
    worth = rows.pivot_table(index="at", columns="system", values="value").map(np.log)
    if KEPT_UP not in worth:
        return []
    ahead = worth.drop(columns=KEPT_UP).sub(worth[KEPT_UP], axis=0)
    systems = style.in_order(map(str, ahead.columns))
    return [(name, at) for name in systems for at in _zeros(ahead[name].dropna())]


def _zeros(ahead: pd.Series[Any]) -> Iterator[float]:
    at = np.log(ahead.index.to_numpy(dtype=float))
    value = ahead.to_numpy(dtype=float)
    for i in np.flatnonzero(value[1:] * value[:-1] < 0):
        part = value[i] / (value[i] - value[i + 1])
        yield float(np.exp(at[i] + part * (at[i + 1] - at[i])))


def _sweeps(record: Run | Sweep) -> list[tuple[str, Sweep]]:
    return [("", record)] if isinstance(record, Sweep) else list(sweeps(record))


def _comparable(sweep: Sweep) -> Sweep:
    """Scale the cost-effectiveness to the cost of a thousand requests, so that runs of different
    lengths can be compared."""
    rows = sweep.numbers
    cost = rows[rows["metric"].isin([_COST, _PER_THOUSAND])]
    if cost["value"].isna().all():
        raise NothingToDrawError(f"{sweep.id}: no {_PER_THOUSAND} along a load")
    by = cost.pivot_table(index=["at", "system"], columns="metric", values="value")
    thousands = (by[_COST] / by[_PER_THOUSAND]).rename("thousands").reset_index()
    joined = rows.merge(thousands, how="left", on=["at", "system"])
    of = joined["metric"] == _WORTH
    for column in ("value", "low", "high"):
        scaled = joined[column] * joined["thousands"]
        joined[column] = joined[column].astype(float).where(~of, scaled)
    numbers = joined.drop(columns="thousands")
    return replace(sweep, numbers=numbers, over="requests/s")


def _lines(axis: Any, panel: Panel, sweep: Sweep) -> pd.DataFrame:
    return lines(axis, sweep, panel.metric, panel.unit, log_y=panel.log_y)


def _points(axis: Any, panel: Panel, others: Sequence[Sweep]) -> pd.DataFrame:
    """Draw the sweeps as points; return the drawn rows."""
    drawn = []
    for sweep in others:
        rows = sweep.numbers[sweep.numbers["metric"] == panel.metric]
        for system, mine in rows.groupby("system"):
            look = style.look(str(system))
            label = f"{look.name}, {sweep.ground.partition(' ')[0].strip(',')}"
            axis.plot(
                mine["at"], mine["value"], look.mark, mfc="none", mec=look.colour, ms=6, label=label
            )
        drawn.append(rows)
    return pd.concat(drawn) if drawn else pd.DataFrame()


def _caption(
    first: Sweep, others: Sequence[Sweep], turned: Sequence[tuple[str, float]], drawn: pd.DataFrame
) -> str:
    """``drawn``: the rows of the first sweep."""
    told = [
        first.caption("; ".join(bands_told(drawn))),
        *(f"hollow: {each.caption('')}" for each in others),
    ]
    where = ", ".join(f"{style.look(name).name} {at:.2g}/s" for name, at in turned)
    kept_up = style.look(KEPT_UP).name
    crossed = [f"dotted: cost-effectiveness crosses that of {kept_up}: {where}"] if where else []
    return "\n".join([*told, *crossed])
