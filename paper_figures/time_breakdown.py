"""Time breakdown of each invocation (the paper's figure "Time breakdown of LoRA functions'
invocations"): one bar per invocation from arrival to first token, one panel per system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd

from harness.claims.breakdown import SYSTEMS, published_calls

from . import style
from .errors import NothingToDrawError
from .frame import enclose
from .looks import fill

if TYPE_CHECKING:
    from harness.records import Cell, Run

WORKLOAD = "time-breakdown"
_ROOM = 0.1
"""Part of the axis for the label of the last call."""
_HALF = 0.3
"""Half the height of a bar, in rows: what is left is for the label above it."""
PUBLISHED_MODEL = "llama2-7b"

GROUPS = {
    "queue": "queue",
    "warming": "warming",
    "libraries": "artifacts",
    "kernels": "artifacts",
    "backbone": "model",
    "adapter": "model",
    "prefill": "inference",
}
"""The paper groups libraries and kernels as "load artifacts", backbone and adapter as "load model".
Its inference, and so each bar here, ends with the first token."""

_COLUMNS = {
    "warming_s": "warming",
    "load_artifacts_s": "artifacts",
    "load_model_s": "model",
    "inference_s": "inference",
}
"""Names of the published columns in this module."""

_LABELS = {
    "queue": "Queue",
    "warming": "Warming",
    "artifacts": "Load artifacts",
    "model": "Load model",
    "inference": "Inference to first token",
}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    """Yield one figure per seed of the time-breakdown workload. Raises ``NothingToDrawError`` if
    there is none, or if no system reports its stages."""
    by_seed: dict[str, list[Cell]] = {}
    for cell in run.cells():
        if cell.workload == WORKLOAD:
            by_seed.setdefault(cell.path.name, []).append(cell)
    found = [(seed, *style.in_panels(cells, tidy)) for seed, cells in sorted(by_seed.items())]
    if not found:
        raise NothingToDrawError(f"run {run.id}: no workload {WORKLOAD}")
    if all(data["queue"].isna().all() for _, _, data in found):
        raise NothingToDrawError(f"run {run.id}: stages {style.UNKNOWN}")
    for index, (seed, cells, data) in enumerate(found):
        name = WORKLOAD if index == 0 else f"{WORKLOAD}-{seed}"
        yield _draw(name, cells, data)


def tidy(cell: Cell) -> pd.DataFrame:
    """A row per invocation and group of stages: ``seconds`` of it, where the bar's piece starts,
    and the start type. Of a request whose stages the system did not tell, they are NaN."""
    spans = cell.table("spans").to_pandas()
    spans["group"] = spans["stage"].map(GROUPS)
    spans = spans.dropna(subset=["group"])
    spans["seconds"] = (spans["end_ns"] - spans["start_ns"]) / 1e9
    lengths = spans.groupby(["request_id", "group"])["seconds"].sum().unstack(fill_value=0.0)
    lengths = lengths.reindex(columns=list(style.STAGES), fill_value=0.0)
    requests = cell.requests.set_index("request_id")
    about = requests[["function_id", "scheduled_ns", "start_type", "status"]]
    rows = lengths.join(about, how="right")
    rows["arrival_s"] = rows.pop("scheduled_ns") / 1e9
    rows["ttft_s"] = requests["ttft_from_schedule_s"]
    rows.insert(0, "system", cell.system)
    tidied: pd.DataFrame = rows.reset_index().sort_values("arrival_s")
    return tidied


def _draw(name: str, ordered: list[Cell], data: pd.DataFrame) -> style.Drawing:
    style.apply(cell.system for cell in ordered)
    model = " and ".join(ordered[0].manifest.deployment["backbones"])
    # Published durations are only comparable for the paper's own model.
    theirs = published([cell.system for cell in ordered]) if model == PUBLISHED_MODEL else {}
    data = pd.concat([data, *theirs.values()], ignore_index=True)
    count = len(ordered) + len(theirs)
    figure, axes = plt.subplots(
        count,
        1,
        figsize=(style.width_in(), 1.5 * count + 0.6),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    panels = iter(axes[:, 0])
    for cell in ordered:
        rows = data[data["system"] == cell.system]
        unknown = f": stages {style.UNKNOWN}" if rows["queue"].isna().all() else ""
        _panel(next(panels), rows, f"{style.look(cell.system).name}{unknown}")
        if cell.system in theirs:
            title = f"{style.look(cell.system).name}, as published"
            _panel(next(panels), theirs[cell.system], title, hollow=True)
    axes[-1, 0].set_xlabel("time since the first arrival, s")
    axes[-1, 0].margins(x=_ROOM)
    more = f"{model}; hollow: as published, on L40S" if theirs else model
    enclose(figure, style.caption(ordered, more))
    return style.Drawing(name, figure, data)


def published(systems: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The calls of the paper's figure, of the systems that it shows, in the form of ``tidy``."""
    ours = {SYSTEMS[row["system"]]: row["system"] for row in published_calls()}
    found = {}
    for system in systems:
        rows = [row for row in published_calls() if row["system"] == ours.get(system)]
        if rows:
            data = pd.DataFrame(rows).rename(columns=dict(_COLUMNS) | {"function": "function_id"})
            numbers = [*_COLUMNS.values(), "arrival_s"]
            data[numbers] = data[numbers].astype(float)
            data["system"] = f"{system}, as published"
            found[system] = data.assign(queue=0.0, start_type="", status="published", ttft_s=None)
    return found


def _panel(axis: Any, rows: Any, title: str, *, hollow: bool = False) -> None:
    functions = sorted(rows["function_id"].unique())
    places = {function: len(functions) - 1 - index for index, function in enumerate(functions)}
    for row in rows.itertuples():
        place = places[row.function_id]
        end = _bar(axis, row, place, hollow=hollow)
        axis.plot([row.arrival_s] * 2, [place - _HALF, place + _HALF], color="black", lw=0.8)
        seconds = row.ttft_s if pd.isna(end) else end - row.arrival_s
        above = (row.arrival_s, place + 1.1 * _HALF)
        axis.annotate(_label(row, seconds), above, size=style.SMALL_PT, va="bottom")
    axis.set_yticks(list(places.values()), list(places))
    axis.set_ylim(-0.6, len(functions) - 0.2)
    axis.grid(visible=False, axis="y")
    axis.set_title(title, loc="left", fontweight="bold")


def _bar(axis: Any, row: Any, place: float, *, hollow: bool) -> float:
    """Draw the stages of a call that took time, one after the other; return where they end."""
    left = float(row.arrival_s)
    for group, (colour, hatch) in style.STAGES.items():
        width = getattr(row, group)
        look = fill(colour, hatch)
        if hollow:
            look |= {"facecolor": "white", "edgecolor": colour, "linewidth": 1.0}
        if width > 0:
            axis.barh(place, width, 2 * _HALF, left=left, label=_LABELS[group], **look)
        left += width
    return left


def _label(row: Any, seconds: float) -> str:
    """Time to the first token, with the start type or the failure status."""
    told = "" if row.status in ("ok", "published") else row.status
    start = told if pd.isna(row.start_type) else row.start_type or told
    return " ".join(
        part for part in ("" if pd.isna(seconds) else f"{seconds:.2f} s", start) if part
    )
