"""A search in virtual time: its points are cells, its result follows from them, and it resumes."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.capacity import CapacityRecord, Limits, find, new_capacity, open_capacity, parse_goal
from harness.capacity.finder import LoadTester
from harness.capacity.loads import at_load, subjects
from harness.capacity.point import point_of
from harness.cli import build
from harness.commands.keeping import keeping
from harness.errors import HarnessError, InterruptedRunError, RecordError
from harness.execution.progress import Progress
from harness.experiment import Experiment
from harness.records import open_run
from paper_figures import NothingToDrawError, draw_each, names_for, open_record
from paper_figures.registry import drawings

GOAL = "ttft_s.p95 <= 2.5"
EXPERIMENT = Experiment.model_validate(
    {
        "name": "small",
        "mode": "simulated",
        "profile": "l40s",
        "systems": [{"name": "serverless-lora"}, {"name": "serverless-llm"}],
        "workloads": [{"name": "steady", "overrides": {"duration_s": 1200, "time_scale": 2}}],
        "deployment": {
            "backbone": "llama2-7b", "dtype": "float16", "devices": 2, "device_memory_gib": 44,
        },
        "figures": [],
    }
)  # fmt: skip


def quiet() -> Progress:
    return Progress(io.StringIO())


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> CapacityRecord:
    limits = Limits(lowest=0.5, highest=4, tolerance=0.2, checks=False)
    made = new_capacity(EXPERIMENT, [GOAL], tmp_path_factory.mktemp("runs"), limits=limits)
    find(made, quiet())
    return made


def test_each_system_has_a_bracket_of_loads_that_passed_and_failed(record: CapacityRecord) -> None:
    ours, theirs = record.result["systems"]
    assert ours["system"] == "serverless-lora"
    assert 1 < ours["infeasible_min"] / ours["feasible_max"] <= 1.2
    assert ours["bound_by"][0].startswith(GOAL)
    assert ours["usd_per_1k_requests"] > 0
    assert theirs["feasible_max"] is None, "cold starts of a copy each miss the goal at any load"
    assert theirs["why"] == "fails at every load from 0.5 to 4"
    assert ours["finished"]
    assert theirs["finished"]


def test_a_point_is_the_cells_of_a_run_at_that_load(record: CapacityRecord) -> None:
    for each in record.result["systems"]:
        for point in each["points"]:
            run = open_run(record.path / f"x{point['load']:g}")
            (cell,) = [cell for cell in run.cells() if cell.system == each["system"]]
            (verdict,) = point["verdicts"]
            assert verdict["value"] == pytest.approx(cell.summary["ttft_s"]["p95"])
            assert point["feasible"] == (verdict["value"] <= 2.5)
            (workload,) = run.experiment["workloads"]
            assert workload["overrides"]["time_scale"] == 2 * point["load"]


def test_the_offered_rate_is_in_proportion_to_the_load(record: CapacityRecord) -> None:
    for each in record.result["systems"]:
        rates = {point["requests_per_s"] / point["load"] for point in each["points"]}
        assert max(rates) == pytest.approx(min(rates), rel=1e-6)


def test_an_interrupted_search_runs_only_what_is_missing(
    record: CapacityRecord, tmp_path: Path
) -> None:
    copy = tmp_path / record.id
    shutil.copytree(record.path, copy)
    (copy / "capacity.json").unlink()
    lost = copy / "x1" / "serverless-lora"
    shutil.rmtree(lost)
    kept = {path: path.stat().st_mtime_ns for path in copy.glob("x*/*/*/*/manifest.json")}
    told = CliRunner().invoke(build(["capacity"]), ["capacity", "--resume", str(copy), "--json"])
    assert told.exit_code == 0, told.output
    assert lost.exists()
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert json.loads((copy / "capacity.json").read_bytes()) == record.result


def test_a_search_is_not_continued_with_other_settings_than_its_own(
    record: CapacityRecord,
) -> None:
    asked = ["capacity", "saturation", "--points", "3", "--resume", str(record.path)]
    done = CliRunner().invoke(build(["capacity"]), asked)
    assert isinstance(done.exception, HarnessError)
    assert str(done.exception).endswith("leave out EXPERIMENT, --points")


def test_an_interrupted_search_says_how_it_goes_on(record: CapacityRecord) -> None:
    with (
        pytest.raises(InterruptedRunError, match=f"slbench capacity --resume {record.path} runs"),
        keeping(lambda: open_capacity(record.path), "capacity"),
    ):
        raise KeyboardInterrupt


def test_a_search_is_no_run_that_could_be_resumed_and_is_left_as_it_is(
    record: CapacityRecord, tmp_path: Path
) -> None:
    copy = tmp_path / record.id
    shutil.copytree(record.path, copy)
    done = CliRunner().invoke(build(["run"]), ["run", "--resume", str(copy)])
    assert isinstance(done.exception, HarnessError)
    assert str(done.exception) == (
        f"{copy}: a search, which slbench capacity --resume {copy} continues"
    )
    assert len(open_capacity(copy).cells()) == len(record.cells()) > 0


def test_the_figure_shows_every_point_and_names_the_search(
    record: CapacityRecord, tmp_path: Path
) -> None:
    opened = open_record(record.path)
    assert names_for(opened) == ["capacity"]
    (drawing,) = drawings("capacity", opened)
    assert len(drawing.data) == sum(len(each["points"]) for each in record.result["systems"])
    assert f"run {record.id}" in drawing.figure._supxlabel.get_text()
    assert draw_each(["capacity"], opened, tmp_path).paths[0].stat().st_size > 0
    with pytest.raises(NothingToDrawError, match="is a search"):
        list(drawings("ttft-by-pattern", opened))
    with pytest.raises(NothingToDrawError, match="is a run"):
        list(drawings("capacity", open_run(record.path / "x1")))


def test_a_goal_that_too_few_requests_can_show_is_refused(record: CapacityRecord) -> None:
    request = record.request.model_copy(update={"goals": ("ttft_by_start_type.warm.p99 <= 9",)})
    asked = CapacityRecord(record.path, request.model_dump(mode="json"))
    subject = next(subjects(request.experiment))
    with pytest.raises(HarnessError, match=r"not known of serverless-lora .* at load 1;"):
        LoadTester(asked, quiet()).point(subject, 1)


def test_answers_that_are_missing_bound_a_load(record: CapacityRecord) -> None:
    """A share above one cannot be reached: the load fails by its answers alone."""
    cells = record.run_at(1).cells()[-1:]
    point = point_of(1, cells, [parse_goal("ttft_s.p95 <= 100")], 1.01)
    assert point.bound_by == ("answered >= 1.01: 1",)
    assert not point.outcome.feasible


def test_an_invalid_cell_does_not_pass(record: CapacityRecord) -> None:
    (cell, *_) = record.run_at(1).cells()
    late = cell.manifest.model_copy(update={"valid": False, "problems": ("the client was late",)})
    invalid = replace(cell, manifest=late)
    point = point_of(1, [invalid], [parse_goal("ttft_s.p95 <= 100")], 0.99)
    assert point.bound_by == ("invalid: the client was late",)


def test_a_run_is_no_search(record: CapacityRecord) -> None:
    with pytest.raises(RecordError, match="not a search of slbench capacity"):
        open_capacity(record.path / "x1")


def test_a_load_multiplies_the_time_scale_that_the_experiment_has() -> None:
    (workload,) = at_load(EXPERIMENT, 1.5).workloads
    assert workload.overrides == {"duration_s": 1200, "time_scale": 3.0}
