"""Where the time of each invocation goes (the paper's figure "Time breakdown of LoRA functions'
invocations"): a bar per invocation from its arrival to its first token, a panel per system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import Rectangle

from . import style

if TYPE_CHECKING:
    from harness.records import Cell, Run

WORKLOAD = "time-breakdown"
SOURCE = "quickstart"

GROUPS = {
    "queue": "queue",
    "warming": "warming",
    "libraries": "artifacts",
    "kernels": "artifacts",
    "backbone": "model",
    "adapter": "model",
    "prefill": "inference",
}
"""The paper joins libraries and kernels as "load artifacts", backbone and adapter as "load
model". Its inference ends with the first token, and so does a bar here."""

_LABELS = {
    "queue": "Queue",
    "warming": "Warming",
    "artifacts": "Load artifacts",
    "model": "Load model",
    "inference": "Inference to first token",
}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    """One figure for each seed of the time-breakdown workload in the run."""
    by_seed: dict[str, list[Cell]] = {}
    for cell in run.cells():
        if cell.workload == WORKLOAD:
            by_seed.setdefault(cell.path.name, []).append(cell)
    for index, (seed, cells) in enumerate(sorted(by_seed.items())):
        name = WORKLOAD if index == 0 else f"{WORKLOAD}-{seed}"
        yield _draw(name, cells)


def tidy(cell: Cell) -> pd.DataFrame:
    """A row per invocation and group of stages: ``seconds`` of it, where the bar's piece starts,
    and the temperature."""
    spans = cell.table("spans").to_pandas()
    spans["group"] = spans["stage"].map(GROUPS)
    spans = spans.dropna(subset=["group"])
    spans["seconds"] = (spans["end_ns"] - spans["start_ns"]) / 1e9
    lengths = spans.groupby(["request_id", "group"])["seconds"].sum().unstack(fill_value=0.0)
    lengths = lengths.reindex(columns=list(style.STAGES), fill_value=0.0)
    requests = cell.requests.set_index("request_id")
    about = requests[["function_id", "scheduled_ns", "temperature", "status"]]
    rows = lengths.join(about, how="right").fillna(dict.fromkeys(style.STAGES, 0.0))
    rows["arrival_s"] = rows.pop("scheduled_ns") / 1e9
    rows.insert(0, "system", cell.system)
    tidied: pd.DataFrame = rows.reset_index().sort_values("arrival_s")
    return tidied


def _draw(name: str, cells: list[Cell]) -> style.Drawing:
    style.apply()
    ordered, data = style.in_panels(cells, tidy)
    figure, axes = plt.subplots(
        len(ordered),
        1,
        figsize=(style.PAGE_IN, 1.5 * len(ordered) + 0.6),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, cell in zip(axes[:, 0], ordered, strict=True):
        _panel(axis, data[data["system"] == cell.system], cell.system)
    axes[-1, 0].set_xlabel("time since the first arrival, s")
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in style.STAGES.values()]
    figure.legend(
        handles,
        [_LABELS[group] for group in style.STAGES],
        ncols=5,
        frameon=False,
        loc="outside upper center",
    )
    model = next(iter(cells[0].manifest.deployment["backbones"]))
    figure.supxlabel(style.caption(cells, model), fontsize=6)
    return style.Drawing(name, figure, data)


def _panel(axis: Any, rows: Any, system: str) -> None:
    functions = sorted(rows["function_id"].unique())
    places = {function: len(functions) - 1 - index for index, function in enumerate(functions)}
    for row in rows.itertuples():
        left, place = row.arrival_s, places[row.function_id]
        for group, colour in style.STAGES.items():
            width = getattr(row, group)
            axis.barh(place, width, 0.62, left=left, color=colour, linewidth=0)
            left += width
        axis.plot([row.arrival_s] * 2, [place - 0.4, place + 0.4], color="black", lw=0.8)
        total = left - row.arrival_s
        text = f"{total:.2f} s {row.temperature or row.status}"
        axis.annotate(text, (row.arrival_s, place + 0.42), size=6, va="bottom")
    axis.set_yticks(list(places.values()), list(places))
    axis.set_ylim(-0.6, len(functions) - 0.2)
    axis.grid(visible=False, axis="y")
    axis.set_title(system, loc="left", fontweight="bold")
