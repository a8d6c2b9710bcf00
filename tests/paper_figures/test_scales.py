"""Axes begin at zero, but for values of which some could not be seen there."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from harness.records import open_run
from paper_figures import conditions, style
from paper_figures.registry import drawings
from tests.paper_figures.test_figures import REFERENCE


@pytest.mark.parametrize(
    ("values", "scale", "unit"),
    [
        ([0.03, 0.4, 11.0], "log", "s (log)"),
        ([0.3, 0.4, 11.0], "linear", "s"),
        ([0.0, 0.4, 11.0], "linear", "s"),
    ],
)
def test_bars_of_which_the_lowest_would_be_lines_stand_on_a_logarithmic_axis(
    values: list[float], scale: str, unit: str
) -> None:
    systems = ["serverless-lora", "vllm", "serverless-llm"]
    style.apply(systems)
    rows = pd.DataFrame(
        {"label": "a load", "system": systems, "value": values, "low": None, "high": None, "n": 9}
    ).astype({"low": float, "high": float})
    figure, axis = plt.subplots()
    conditions.bars(axis, rows, "s")
    assert (axis.get_yscale(), axis.get_ylabel()) == (scale, unit)
    bottom, top = axis.get_ylim()
    assert bottom < min(values) if scale == "log" else bottom == 0
    assert top > max(values)
    plt.close(figure)


def test_systems_that_answer_at_once_stand_apart_from_each_other_beside_slow_ones() -> None:
    run = open_run(REFERENCE / "opponents-h200")
    (drawing,) = drawings("cost-against-ttft", run)
    assert {axis.get_xscale() for axis in drawing.figure.axes} == {"log"}
    plt.close(drawing.figure)
