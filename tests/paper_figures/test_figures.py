"""Figures come from records alone, and say what they rest on."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.records import open_run
from harness.records.segments import rows as rows_of
from harness.records.segments import segments
from paper_figures import draw, draw_reference, figure_names, sweep_names
from paper_figures.registry import sources
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
    for path in draw_reference(name, REFERENCE, tmp_path):
        assert "simulated, profile l40s" in path.with_suffix(".svg").read_text(encoding="utf-8")
        assert pd.read_csv(path.with_suffix(".csv"))["system"].nunique() >= 3


def test_a_sweep_gives_the_same_bytes(tmp_path: Path) -> None:
    (first,), (second,) = (draw_reference("adapters", REFERENCE, tmp_path / part) for part in "ab")
    for suffix in (".png", ".csv", ".svg", ".pdf"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


def test_every_figure_names_records_that_are_there_and_each_drawing_has_its_own_name() -> None:
    assert set(sources()) == {*figure_names(), *sweep_names()}
    for records in sources().values():
        assert all((REFERENCE / record).is_dir() for record in records)
        assert len(set(records)) == len(records) >= 1


def test_bars_are_the_means_of_the_segments_with_their_intervals(tmp_path: Path) -> None:
    (path,) = draw_reference("ttft-by-pattern", REFERENCE, tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    rows = segments(open_run(REFERENCE / "evaluation"))
    of = {"system": "serverless-lora", "workload": "azure-normal8", "backbone": "llama2-7b"}
    for column, value in {**of, "metric": "ttft_from_schedule_s"}.items():
        rows = rows[rows[column] == value]
        data = data[data[column] == value]
    assert len(rows) == 8
    (bar,) = data.to_dict("records")
    assert bar["value"] == pytest.approx(rows["value"].mean(), abs=1e-6)
    reach = 2.3646 * rows["value"].std(ddof=1) / 8**0.5  # Student's t, seven degrees of freedom
    factor = math.exp(reach / rows["value"].mean())  # of the logarithm of the mean
    assert bar["high"] / bar["value"] == pytest.approx(factor, rel=1e-4)
    assert bar["value"] / bar["low"] == pytest.approx(factor, rel=1e-4)


def test_the_kept_segment_gives_the_numbers_that_are_kept_of_it() -> None:
    run = open_run(REFERENCE / "evaluation")
    kept = segments(run)
    cell = next(cell for cell in run.cells() if cell.system == "instainfer")
    keys = ["system", "workload", "segment", "backbone", "metric", "at"]
    again = pd.DataFrame(rows_of(cell)).set_index(keys)["value"]
    assert len(again) > 100
    same = kept.set_index(keys)["value"].loc[again.index]
    assert same.to_numpy() == pytest.approx(again.to_numpy(), rel=1e-12)


def test_the_papers_calls_stand_hollow_beside_those_of_its_model(tmp_path: Path) -> None:
    paths = draw_reference("time-breakdown", REFERENCE, tmp_path)
    shown = {path.stem: set(pd.read_csv(path.with_suffix(".csv"))["system"]) for path in paths}
    assert "serverless-lora, as published" in shown["time-breakdown-h100"]
    assert len(shown["time-breakdown-l40s"]) == 6
    assert not any("published" in system for system in shown["time-breakdown"]), "another model"


def test_only_what_is_not_beaten_in_both_is_joined(tmp_path: Path) -> None:
    (path,) = draw_reference("cost-against-ttft", REFERENCE, tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    for _, rows in data.groupby("workload"):
        front = rows[rows["undominated"]].sort_values("ttft_s")
        assert front["cost_usd"].is_monotonic_decreasing
        assert len(front) >= 1
