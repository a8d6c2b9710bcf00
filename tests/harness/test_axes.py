"""Axes of an experiment: their points, what is refused, and the records of a run over them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from harness.axes import as_axes, point_name, points
from harness.capacity.loads import subjects
from harness.cells.plan import plan_cells, samples
from harness.comparison import compare, factor
from harness.errors import HarnessError
from harness.execution.executor import RunContext
from harness.execution.live_executor import LiveExecutor
from harness.execution.progress import Progress
from harness.experiment import Experiment
from harness.experiment_files import load
from harness.metrics import metric
from harness.records import Run
from tests.harness.pages import ROOT
from tests.harness.swept import swept_run

TIMES = "workloads.time_scale"
DEVICES = "deployment.devices"
KEPT = "deployment.limits.keep_alive_s"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    together = [{TIMES: [1, 2, 4], DEVICES: [1, 2, 4]}]
    return swept_run(tmp_path_factory.mktemp("runs"), together)


def names(sweep: Any) -> list[str]:
    return [point_name(point) for point in points(as_axes(sweep))]


def test_a_mapping_is_a_grid_and_the_keys_of_one_axis_vary_together() -> None:
    assert names({TIMES: [1, 2], DEVICES: [1, 2]}) == [
        "time_scale=1,devices=1",
        "time_scale=1,devices=2",
        "time_scale=2,devices=1",
        "time_scale=2,devices=2",
    ]
    assert names([{TIMES: [1, 2], DEVICES: [2, 4]}]) == [
        "time_scale=1,devices=2",
        "time_scale=2,devices=4",
    ]
    crossed = names([{TIMES: [1, 2], DEVICES: [2, 4]}, {KEPT: [0.5, 60]}])
    assert crossed[:2] == [f"time_scale=1,devices=2,keep_alive_s={kept}" for kept in (0.5, 60)]
    assert len(crossed) == 4
    assert names({}) == [""]


def test_keys_that_end_alike_are_named_in_full_and_a_name_is_one_folder() -> None:
    assert names({"systems.a.x": [1], "systems.b.x": [2]}) == ["systems.a.x=1,systems.b.x=2"]
    assert names({"workloads.lengths": ["a/b", None]}) == ["lengths=a-b", "lengths=null"]


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"seeds": [1]}, "seeds cannot vary within a run; what can: workloads"),
        ({"deployment": [1]}, "deployment cannot vary"),
        ({"workloads..x": [1]}, "cannot vary"),
        ({"workloads.name": ["steady"]}, "list several workloads instead"),
        ({"systems.label": ["x"]}, "list several systems instead"),
        ({TIMES: []}, "has no values"),
        ([{}], "has no values"),
        ({TIMES: [1, 1]}, "time_scale=1 is there twice"),
        ({"workloads.lengths": ["a/b", "a-b"]}, "lengths=a-b is there twice"),
        ([{TIMES: [1], DEVICES: [1, 2]}], "give each as many values"),
        ([{TIMES: [1]}, {TIMES: [2]}], "is in two axes"),
        ({TIMES: 3}, "time_scale: list its values"),
        ({TIMES: [[1]]}, "time_scale: list its values"),
        ({"workloads": {"time_scale": [1]}}, "workloads: list its values"),
        (7, r"key: \[values\].*not 7"),
        ([7], r"key: \[values\]"),
        ({f"{DEVICES}.x": [1]}, "devices is not a mapping"),
        ({DEVICES: [1, 0]}, "greater than 0"),
        ({"deployment.dvices": [1]}, "dvices"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused_before_the_run(sweep: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        load("saturation", {"sweep": sweep})


def test_every_cell_is_planned_at_every_point_with_the_values_of_its_point() -> None:
    sweep = [{TIMES: [1, 2], DEVICES: [2, 4]}, {"systems.audit_s": [None, 3.0]}]
    swept = load("saturation", {"sweep": sweep, KEPT: 7})
    cells = list(plan_cells(swept))
    assert len({cell.path for cell in cells}) == len(cells) == 4 * len(swept.systems)
    for cell in cells:
        assert cell.workload.overrides["time_scale"] == cell.point[TIMES]
        assert cell.deployment.devices == cell.point[DEVICES] == 2 * int(cell.point[TIMES] or 0)
        assert cell.system.options["audit_s"] == cell.point["systems.audit_s"]
        assert cell.deployment.limits.keep_alive_s == 7
        assert cell.path.parts[1] == f"steady@{point_name(cell.point)}"
    assert {(cell.system.label, cell.load) for cell in samples(swept)} == {
        (cell.system.label, cell.load) for cell in cells
    }
    assert Experiment.model_validate(swept.model_dump(mode="json")) == swept


def test_a_search_for_capacities_refuses_a_sweep() -> None:
    assert len(list(subjects(load("saturation", {"sweep": []})))) == 3
    with pytest.raises(HarnessError, match="saturation has a sweep"):
        list(subjects(load("saturation", {"sweep": {TIMES: [1, 2]}})))


def test_a_key_of_the_choice_itself_is_no_option_and_no_override() -> None:
    swept = load("saturation", {"sweep": {"systems.isolation": ["tenant", "backbone"]}})
    assert [at.systems[0].isolation for _, at in swept.points()] == ["tenant", "backbone"]
    assert not any(at.systems[0].options for _, at in swept.points())
    scaled = load("saturation", {"sweep": {"workloads.overrides.time_scale": [3]}})
    (only,) = scaled.points()
    assert only[1].workloads[0].overrides == {"duration_s": 600, "time_scale": 3}


def test_a_live_cell_is_deployed_as_its_point_says(tmp_path: Path) -> None:
    changes = {"deployment.backbone": "tiny", "deployment.device": "cpu", "mode": "live"}
    swept = load("quickstart", {**changes, "sweep": {DEVICES: [1, 3]}})
    executor = LiveExecutor(RunContext(swept, Run(tmp_path, {}), Progress()))
    for plan in samples(swept):
        found = executor.deployment(plan, ["f0"])
        assert len(found.devices) == plan.point[DEVICES]


def test_the_examples_of_the_guide_are_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    whole, sweeps = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(whole)
    mine = load(str(tmp_path / "mine.yaml"))
    assert len(list(plan_cells(mine))) == 18
    assert "long@time_scale=2" in {cell.load for cell in plan_cells(mine)}
    grid, crossed = (yaml.safe_load(f"sweep:{each}") for each in sweeps.split("sweep:")[1:])
    for each in (grid, crossed):
        assert len(list(load("saturation", each).points())) == 6


def test_a_run_of_a_sweep_has_a_cell_a_point_and_never_pools_two(swept: Run) -> None:
    cells = swept.cells()
    assert len(cells) == 2 * 3
    for cell in cells:
        assert cell.manifest.sweep is not None
        number = cell.manifest.sweep[DEVICES]
        assert len(cell.manifest.deployment["devices"]) == number
        load_there = f"steady@time_scale={number},devices={number}"
        assert cell.workload == cell.path.parent.name == load_there
        assert cell.manifest.workload["label"] == "steady"
        applied = cell.manifest.workload["provenance"]["transforms"]
        assert any(each["name"] == "compress" for each in applied) == (number != 1)
    groups = compare(cells, metrics=[metric("output_tokens_per_s")]).groups
    told = [[(row.entry.system, row.entry.workload) for row in rows] for rows in groups]
    assert len(told) == 3
    assert all(len({workload for _, workload in rows}) == 1 for rows in told)
    assert all(len(rows) == 2 for rows in told)


def test_the_points_of_a_system_are_compared_side_by_side(swept: Run) -> None:
    """Its points differ in the deployment too, which factor ``workload`` refuses."""
    wanted = [metric("output_tokens_per_s")]
    found = compare(swept.cells(), chosen=factor("sweep"), metrics=wanted)
    told = {rows[0].entry.system: [row.entry.level for row in rows] for rows in found.groups}
    levels = [f"steady@time_scale={each},devices={each}" for each in (1, 2, 4)]
    assert told == {"instainfer": levels, "serverless-lora": levels}
    with pytest.raises(HarnessError, match=r"deployment\.devices"):
        compare(swept.cells(), chosen=factor("workload"), metrics=wanted)
