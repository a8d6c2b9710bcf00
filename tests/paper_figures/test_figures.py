"""Figures come from records alone, and say what they rest on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.records import read_cell
from paper_figures import draw, draw_reference, figure_names, sweep_names
from tests.harness.made import made_run


@pytest.mark.parametrize("name", figure_names())
def test_the_same_records_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs")
    first, second = (draw(name, run, tmp_path / folder) for folder in ("a", "b"))
    assert len(first) == 1
    for one, two in zip(first, second, strict=True):
        for suffix in (".png", ".csv", ".svg", ".pdf"):
            assert one.with_suffix(suffix).read_bytes() == two.with_suffix(suffix).read_bytes()
        caption = one.with_suffix(".svg").read_text(encoding="utf-8")
        assert f"; run {run.id}" in caption


def test_a_bar_is_the_sum_of_its_stages(tmp_path: Path) -> None:
    (path,) = draw("time-breakdown", made_run(tmp_path / "runs"), tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    cold = data[(data["system"] == "serverless-lora") & (data["request_id"] == 0)].iloc[0]
    pieces = cold[["queue", "warming", "artifacts", "model", "inference"]].tolist()
    assert pieces == pytest.approx([0, 0.1, 0.3, 0.1, 0.198])
    failed = data[data["request_id"] == 2]
    assert failed["inference"].eq(0).all()
    assert failed["status"].eq("http_5xx").all()


def test_an_unknown_figure_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="time-breakdown"):
        draw("nothing", made_run(tmp_path), tmp_path)


REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.mark.parametrize("name", sweep_names())
def test_a_sweep_says_that_it_is_simulated_and_shows_three_systems(
    name: str, tmp_path: Path
) -> None:
    (path,) = draw_reference(name, REFERENCE, tmp_path)
    assert "simulated, profile l40s" in path.with_suffix(".svg").read_text(encoding="utf-8")
    assert pd.read_csv(path.with_suffix(".csv"))["system"].nunique() >= 3


def test_a_sweep_gives_the_same_bytes(tmp_path: Path) -> None:
    (first,), (second,) = (draw_reference("adapters", REFERENCE, tmp_path / part) for part in "ab")
    for suffix in (".png", ".csv", ".svg", ".pdf"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


def test_bars_are_the_means_of_the_records_with_their_intervals(tmp_path: Path) -> None:
    (path,) = draw_reference("ttft-by-pattern", REFERENCE, tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    cell = read_cell(REFERENCE / "evaluation" / "serverless-lora" / "azure-normal8" / "92")
    rows = cell.requests[cell.requests["backbone"] == "llama2-7b"]
    bar = data[
        (data["system"] == "serverless-lora")
        & (data["workload"] == "azure-normal8")
        & (data["backbone"] == "llama2-7b")
    ].iloc[0]
    assert bar["value"] == pytest.approx(rows["ttft_from_schedule_s"].mean(), abs=1e-6)
    assert bar["low"] < bar["value"] < bar["high"]


def test_only_what_is_not_beaten_in_both_is_joined(tmp_path: Path) -> None:
    (path,) = draw_reference("cost-against-ttft", REFERENCE, tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    for _, rows in data.groupby("workload"):
        front = rows[rows["undominated"]].sort_values("ttft_s")
        assert front["cost_usd"].is_monotonic_decreasing
        assert len(front) >= 1
