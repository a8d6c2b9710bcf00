"""Figures use only records, and their captions state the run, mode and samples."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from harness.commands.figures import figures
from harness.errors import HarnessError
from harness.records import Run, new_run, open_run, read_cell
from harness.records.segments import rows as rows_of
from harness.records.segments import segments
from paper_figures import (
    draw,
    draw_reference,
    figure_names,
    memory_over_time,
    names_for,
    open_record,
    style,
    sweep_names,
)
from paper_figures.published import belongs
from paper_figures.registry import drawings, sources
from paper_figures.style import is_ablation, look
from paper_figures.sweep import open_sweep
from paper_figures.ttft_distribution import _curve
from tests.harness.made import MS, made_cell, made_run, tables

from .kinds import beside, levels, swept, unanswered
from .seen import words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture
def svg_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save no PNG and no PDF: most of the time of a figure is that of the fonts of its PDF."""
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})


@pytest.fixture
def data_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save only the CSV of the data, which does not depend on the layout."""
    monkeypatch.setattr(style, "FORMATS", {})
    monkeypatch.setattr(style, "_laid_out", lambda figure: None)


@pytest.fixture(scope="module")
def at_levels(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make a run with isolation levels and an ablation, of which every figure of a run without a
    sweep can be drawn."""
    run = levels(tmp_path_factory.mktemp("runs"))
    made_cell(run, "serverless-lora-no-sharing")
    return run


@pytest.mark.usefixtures("svg_only")
@pytest.mark.parametrize("name", figure_names())
def test_the_same_records_give_the_same_bytes(name: str, at_levels: Run, tmp_path: Path) -> None:
    """What is drawn; test_every_format_gives_the_same_bytes is of the formats."""
    run = swept(tmp_path / "runs") if name == "crossing" else at_levels
    first, second = (draw(name, run, tmp_path / folder) for folder in ("a", "b"))
    assert len(first) == (2 if name == "crossing" else 1)
    for one, two in zip(first, second, strict=True):
        for suffix in (".csv", ".svg"):
            assert one.with_suffix(suffix).read_bytes() == two.with_suffix(suffix).read_bytes()
        caption = one.with_suffix(".svg").read_text(encoding="utf-8")
        assert f"; run {run.id}" in caption


@pytest.mark.usefixtures("data_only")
def test_a_bar_is_the_sum_of_its_stages(tmp_path: Path) -> None:
    (path,) = draw("time-breakdown", made_run(tmp_path / "runs"), tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    cold = data[(data["system"] == "serverless-lora") & (data["request_id"] == 0)].iloc[0]
    pieces = cold[["queue", "warming", "artifacts", "model", "inference"]].tolist()
    assert pieces == pytest.approx([0, 0.1, 0.3, 0.1, 0.198])
    failed = data[data["request_id"] == 2]
    assert failed["inference"].isna().all(), "its stages are not known, which is not zero"
    assert failed["status"].eq("http_5xx").all()


def test_a_bar_says_what_is_known_of_its_call_and_no_more(tmp_path: Path) -> None:
    (drawing,) = drawings("time-breakdown", beside(tmp_path))
    said = words(drawing.figure)
    assert "openai-endpoint: stages not known" in said
    known = ["0.70 s", "0.10 s", "http_5xx", *["0.70 s cold", "0.10 s hot", "http_5xx"] * 2]
    assert [text for text in said if re.match(r"\d\.\d\d s|http", text)] == known


def test_memory_of_a_simulation_is_drawn_at_every_change(tmp_path: Path) -> None:
    content = tables()
    changes = content["memory"].to_pandas()
    changes = changes[~(changes["t_ns"] % (100 * MS) == 0) | (changes["t_ns"] == 1500 * MS)]
    memory = pa.Table.from_pandas(changes, content["memory"].schema, preserve_index=False)
    run = new_run({"name": "simulated"}, tmp_path)
    made_cell(run, "serverless-lora", {**content, "memory": memory})
    (drawing,) = drawings("memory-over-time", run)
    held = drawing.data.pivot(index="t_s", columns="owner", values="bytes")
    assert held["weights"].to_dict() == {0.002: 100_000_000, 1.5: 100_000_000}
    assert held["kv"].to_dict() == {0.002: 10_000_000, 1.5: 0}


def test_a_distribution_has_a_step_for_every_first_token_and_ends_at_the_answered_share(
    tmp_path: Path,
) -> None:
    (drawing,) = drawings("ttft-distribution", made_run(tmp_path))
    one = drawing.data[drawing.data["system"] == "serverless-lora"]
    assert one["ttft_s"].tolist() == pytest.approx([0.1, 0.701])
    assert one["share"].tolist() == pytest.approx([1 / 3, 2 / 3])
    low, high = drawing.figure.axes[0].get_xlim()
    assert low < 0.1 < 0.701 < high
    line = drawing.figure.axes[0].lines[0]
    assert line.get_xydata()[[0, -1]].tolist() == [[low, 0.0], [high, pytest.approx(2 / 3)]]
    assert line.get_drawstyle() == "steps-post"


def test_a_distribution_over_segments_is_the_mean_wherever_one_of_them_rises() -> None:
    rows = pd.DataFrame(
        [("0", 0.0, 0.0, 4), ("0", 1.0, 0.5, 4), ("0", 3.0, 1.0, 4),
         ("1", 0.0, 0.0, 4), ("1", 2.0, 0.5, 4), ("1", 9.0, 0.5, 4)],
        columns=["segment", "at", "value", "n"],
    )  # fmt: skip
    curve = pd.DataFrame(_curve(rows))
    assert curve["ttft_s"].tolist() == [1.0, 2.0, 3.0]
    assert curve["share"].tolist() == [0.25, 0.5, 0.75]
    assert curve["n"].unique().tolist() == [8]


def test_published_marks_stand_only_beside_the_conditions_that_they_are_of(
    tmp_path: Path,
) -> None:
    evaluation = open_run(REFERENCE / "evaluation")
    assert belongs(evaluation.cells())
    for other in ("quickstart", "main-24-h200"):
        assert not belongs(open_run(REFERENCE / other).cells()), other
    own, alone = (
        {text for text in words(drawing.figure) if "published" in text}
        for run in (evaluation, made_run(tmp_path))
        for drawing in drawings("slo-violations", run)
    )
    assert len(own) == 3
    assert alone == set()


def test_both_backbones_are_said_of_two_only(tmp_path: Path) -> None:
    for name in ("ttft-by-pattern", "tpot-and-e2e"):
        for run, said in ((open_run(REFERENCE / "evaluation"), True), (made_run(tmp_path), False)):
            (drawing,) = drawings(name, run)
            assert any("both backbones" in text for text in words(drawing.figure)) is said


def test_a_band_that_reaches_below_a_logarithmic_axis_is_left_out_and_told() -> None:
    (drawing,) = drawings("weak-scaling", open_record(REFERENCE / "weak-scaling"))
    rows = drawing.data[drawing.data["metric"] == "ttft_from_schedule_s.mean"]
    assert not rows["banded"][rows["low"] <= 0].any()
    assert rows["banded"].any()
    assert any("no band where it reaches below" in text for text in words(drawing.figure))


def test_published_marks_of_a_sweep_need_its_value(tmp_path: Path) -> None:
    whole = open_sweep(REFERENCE / "throughput")
    short = replace(whole, numbers=whole.numbers[whole.numbers["at"] <= 2])
    for sweep, said in ((whole, True), (short, False)):
        (drawing,) = drawings("throughput", sweep)
        assert any("as published" in text for text in words(drawing.figure)) is said


def test_published_ratios_belong_to_one_sweep_and_the_evaluation_is_marked_in_others() -> None:
    for name, hollow, dotted in (
        ("regimes-devices", True, True),
        ("regimes-functions", False, True),
        ("regimes-context", False, False),
    ):
        (drawing,) = drawings("regimes", open_sweep(REFERENCE / name))
        said = " ".join(words(drawing.figure))
        assert ("hollow: as published" in said) is hollow
        assert ("dotted: the paper's evaluation" in said) is dotted


def test_tick_labels_of_a_wide_sweep_are_apart() -> None:
    (drawing,) = drawings("regimes", open_sweep(REFERENCE / "regimes-load"))
    drawing.figure.draw_without_rendering()
    labels = [text.get_window_extent() for text in drawing.figure.axes[0].get_xticklabels()]
    assert len(labels) >= 5
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


def test_a_study_made_elsewhere_is_drawn_as_its_figures(tmp_path: Path) -> None:
    place = shutil.copytree(REFERENCE / "weak-scaling", tmp_path / "mine")
    record = open_record(place)
    assert names_for(record) == ["weak-scaling", "scheduler-overhead"]
    with pytest.raises(HarnessError, match=r"ten-thousand.*name one of.*scheduler-overhead"):
        names_for(open_record(REFERENCE / "ten-thousand"))
    assert list(drawings("scheduler-overhead", open_record(REFERENCE / "ten-thousand")))


@pytest.mark.usefixtures("svg_only")
def test_the_command_draws_a_sweep_and_says_what_it_skips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures(["weak-scaling"], [str(REFERENCE / "weak-scaling")], tmp_path, json_=True)
    assert json.loads(capsys.readouterr().out) == {
        "figures": [str(tmp_path / "weak-scaling.png")],
        "skipped": [],
    }
    run = unanswered(tmp_path / "runs")
    figures(None, [str(run.path)], tmp_path)
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'slo-violations.png'}\n"
    assert f"skipped ablation: run {run.id}: no ablation of serverless-lora\n" in said.err
    assert len(said.err.splitlines()) == len(figure_names()) - 1


def test_a_named_figure_that_cannot_be_fed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"not drawn: ablation: run .*: no ablation"):
        figures(["ablation"], [str(made_run(tmp_path).path)], tmp_path)
    with pytest.raises(HarnessError, match="not drawn: time-breakdown: weak-scaling is a sweep"):
        figures(["time-breakdown"], [str(REFERENCE / "weak-scaling")], tmp_path)


def test_an_unknown_figure_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="time-breakdown"):
        draw("nothing", made_run(tmp_path), tmp_path)


@pytest.mark.parametrize("name", sweep_names())
def test_a_sweep_says_where_it_is_from_and_the_first_is_simulated_and_shows_three_systems(
    name: str,
) -> None:
    first, *others = (
        drawing
        for each in sources()[name]
        for drawing in drawings(name, open_record(REFERENCE / each))
    )
    assert "simulated, profile l40s" in " ".join(words(first.figure))
    assert first.data["system"].nunique() >= 3
    for each in others:
        told = " ".join(words(each.figure))
        assert "simulated, profile l40s" in told or "live on 1, 2 and 4 × " in told


def test_every_format_gives_the_same_bytes(tmp_path: Path) -> None:
    """Of a figure with bars, hatches and marks."""
    (first,), (second,) = (
        draw_reference("slo-violations", REFERENCE, tmp_path / part) for part in "ab"
    )
    for suffix in (".png", ".csv", ".svg", ".pdf"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()
    assert b"CreationDate" not in first.with_suffix(".pdf").read_bytes(), "of the same second"
    assert "dc:date" not in first.with_suffix(".svg").read_text(encoding="utf-8")


def test_every_figure_names_records_that_are_there_and_each_drawing_has_its_own_name() -> None:
    assert set(sources()) == {*figure_names(), *sweep_names()}
    for records in sources().values():
        assert all((REFERENCE / record).is_dir() for record in records)
        assert len(set(records)) == len(records) >= 1


@pytest.mark.usefixtures("data_only")
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


@pytest.mark.usefixtures("data_only")
def test_the_papers_calls_stand_hollow_beside_those_of_its_model(tmp_path: Path) -> None:
    paths = draw_reference("time-breakdown", REFERENCE, tmp_path)
    shown = {path.stem: set(pd.read_csv(path.with_suffix(".csv"))["system"]) for path in paths}
    assert "serverless-lora, as published" in shown["time-breakdown-h100"]
    assert len(shown["time-breakdown-l40s"]) == 6
    assert not any("published" in system for system in shown["time-breakdown"]), "another model"


@pytest.mark.usefixtures("data_only")
def test_only_what_is_not_beaten_in_both_is_joined(tmp_path: Path) -> None:
    (path,) = draw_reference("cost-against-ttft", REFERENCE, tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    for _, rows in data.groupby("workload"):
        front = rows[rows["undominated"]].sort_values("ttft_s")
        assert front["cost_usd"].is_monotonic_decreasing
        assert len(front) >= 1


def test_an_ablation_of_any_mechanism_is_in_the_figure() -> None:
    run = open_run(REFERENCE / "ablation-h200x4")
    (drawing,) = drawings("ablation", run)
    assert set(drawing.data["system"]) == {cell.system for cell in run.cells()}


def test_labels_of_isolation_levels_are_systems_and_no_ablations() -> None:
    labels = {"serverless-lora", "serverless-lora-tenant", "serverless-lora-backbone"}
    assert len({look(label) for label in labels}) == 3
    assert not any(map(is_ablation, labels))
    assert look("mine") == ("mine", *look("mine")[1:])


def test_a_system_at_another_level_is_no_condition_of_the_paper() -> None:
    cell = read_cell(next((REFERENCE / "evaluation").glob("serverless-lora/*/*")))
    assert belongs([cell])
    shared = cell.manifest.model_copy(update={"isolation": "tenant"})
    assert not belongs([replace(cell, manifest=shared)])


def test_memory_of_nodes_that_are_sampled_one_after_another_is_that_of_all() -> None:
    samples = pd.DataFrame(
        [(at_ms * 1_000_000, host, "measured-pss", size) for at_ms, host, size in (
            (100, "host-0", 1), (300, "host-1", 10), (1100, "host-0", 2), (1300, "host-1", 20),
        )],
        columns=["t_ns", "device", "source", "bytes"],
    )  # fmt: skip
    found = memory_over_time._each_second(samples)
    assert found["t_ns"].tolist() == [300_000_000, 1_100_000_000]
    assert found["bytes"].tolist() == [11, 12]
    assert memory_over_time._each_second(samples.head(0)).empty
