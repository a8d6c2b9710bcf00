"""Share of requests whose first token missed its objective, by pattern and backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from . import conditions, published, style
from .labels import set_groups

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Run

NAME = "slo-violations"
PUBLISHED = {"serverless-lora": 10.0, "serverless-llm": 45.0, "instainfer": 58.0}
"""Per cent, the worst of the paper's conditions; from a digest of the paper."""


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = conditions.means(run, ["slo_violation_rate"], systems)
    data[["value", "low", "high"]] *= 100
    figure, axis = plt.subplots(figsize=(style.width_in(), 2.4), layout="constrained")
    conditions.bars(axis, data, "SLO violations, %", linear=True)
    more = ""
    if published.belongs(cells) and set(systems) & set(PUBLISHED):
        _published(axis, data)
        more = "hollow: the worst condition as published"
    yield conditions.finish(NAME, figure, cells, data, more)


def _published(axis: Any, data: pd.DataFrame) -> None:
    """Draw hollow marks in a separate group, each at the position of its system's bar."""
    labels = list(dict.fromkeys(data["label"]))
    shown = [system for system in PUBLISHED if system in set(data["system"])]
    for system in shown:
        place = conditions.bar_places(data, system)[0][-1] + 1
        style.published_mark(axis, place, PUBLISHED[system], system)
    set_groups(axis, [*labels, "worst\nas published"])
    highest = max(data[["value", "high"]].max().max(), *(PUBLISHED[each] for each in shown))
    axis.set_ylim(top=1.08 * highest)
