"""A run with one system at several isolation levels: records, comparison, resumption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.comparison import Comparison, compare, declared_baseline, factor
from harness.errors import HarnessError
from harness.execution.cell_runner import CellRunner
from harness.execution.executor import RunContext
from harness.execution.orders import in_turn
from harness.execution.progress import Progress
from harness.execution.simulated_executor import SimulatedExecutor
from harness.experiment import Experiment
from harness.experiment_files import load
from harness.records import Cell, Run, new_run, open_run
from harness.report.table import comparison_table
from systems.grouping import LEVELS

SYSTEMS = [
    {"name": "serverless-lora"},
    {"name": "serverless-lora", "label": "by-tenant", "isolation": "tenant"},
    {"name": "instainfer", "tenants": 1},
    {"name": "multi-lora"},
]
OWNERS = {"A": "t0", "B": "t1", "C": "t0"}


def execute(experiment: Experiment, run: Run) -> None:
    context = RunContext(experiment, run, Progress())
    in_turn(CellRunner(context, SimulatedExecutor(context)), None)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that simulates the systems, with changes to the deployment."""

    def made(systems: list[dict[str, Any]], **deployment: Any) -> Run:
        changes = {"mode": "simulated", "systems": systems, "deployment.tenants": 2}
        changes |= {f"deployment.{key}": value for key, value in deployment.items()}
        experiment = load("time-breakdown", changes)
        run = new_run(experiment.model_dump(mode="json"), tmp_path_factory.mktemp("levels"))
        execute(experiment, run)
        return run

    return made


@pytest.fixture(scope="module")
def run(make: Callable[..., Run]) -> Run:
    return make(SYSTEMS)


@pytest.fixture(scope="module")
def cells(run: Run) -> dict[str, Cell]:
    return {cell.system: cell for cell in run.cells()}


def levels(found: Comparison) -> set[str]:
    return {row.entry.level for group in found.groups for row in group}


def test_cells_are_known_by_the_labels_of_their_systems(run: Run, cells: dict[str, Cell]) -> None:
    assert set(cells) == {"serverless-lora", "by-tenant", "instainfer", "multi-lora"}
    assert {path.name for path in run.path.iterdir() if path.is_dir()} == set(cells)
    told = cells["by-tenant"].manifest
    assert (told.system["name"], told.label) == ("serverless-lora", "by-tenant")


def test_a_manifest_has_the_level_the_tenants_and_the_groups(cells: dict[str, Cell]) -> None:
    alone = {each: (each,) for each in OWNERS}
    shared = {"t0@llama2-7b": ("A", "C"), "t1@llama2-7b": ("B",)}
    said = {name: (cell.manifest.isolation, cell.manifest.groups) for name, cell in cells.items()}
    assert said == {
        "serverless-lora": ("function", alone),
        "by-tenant": ("tenant", shared),
        "instainfer": ("function", alone),
        "multi-lora": (None, None),
    }
    for name, cell in cells.items():
        owners = {each["id"]: each["tenant"] for each in cell.manifest.deployment["functions"]}
        assert owners == (dict.fromkeys(OWNERS, "t0") if name == "instainfer" else OWNERS)
        assert "isolation" not in cell.manifest.deployment


def test_a_manifest_says_what_its_level_gives_up(cells: dict[str, Cell]) -> None:
    gaps = {name: cell.manifest.level_gaps for name, cell in cells.items()}
    assert gaps["serverless-lora"] == gaps["instainfer"] == ()
    assert gaps["by-tenant"] == LEVELS["tenant"].gaps
    assert gaps["multi-lora"] is None
    assert all(not cell.manifest.system["isolation_gaps"] for cell in cells.values())


def test_every_request_has_its_tenant(cells: dict[str, Cell]) -> None:
    requests = cells["by-tenant"].requests
    assert list(requests["tenant"]) == [OWNERS[each] for each in requests["function_id"]]


def test_a_finished_run_is_resumed_without_running_a_cell(run: Run) -> None:
    opened = open_run(run.path)
    written = {file: file.stat().st_mtime_ns for file in run.path.rglob("manifest.json")}
    execute(Experiment.model_validate(opened.experiment), opened)
    assert {file: file.stat().st_mtime_ns for file in written} == written
    assert len(opened.cells()) == len(SYSTEMS)


def test_labels_are_the_levels_of_a_comparison(cells: dict[str, Cell]) -> None:
    serverless = [cells[name] for name in ("serverless-lora", "by-tenant", "instainfer")]
    found = compare(serverless, "by-tenant")
    assert levels(found) == {"serverless-lora", "by-tenant", "instainfer"}
    assert comparison_table(list(cells.values()), "by-tenant", 100).renderables


def test_the_last_system_that_is_compared_is_the_baseline_by_its_label(run: Run) -> None:
    experiment = {**run.experiment, "baseline": None}
    assert declared_baseline(experiment, {"by-tenant", "serverless-lora"}) == "by-tenant"
    assert (
        declared_baseline({**experiment, "baseline": "serverless-lora"}, {"by-tenant"})
        == "by-tenant"
    )
    before_labels = {"systems": [{"name": "vllm"}]}
    assert declared_baseline(before_labels, {"vllm"}) == "vllm"


def test_one_label_at_two_levels_is_two_systems(make: Callable[..., Run]) -> None:
    """The runs have the same labels. Only the level tells their cells apart."""
    runs = [make(SYSTEMS[:1], isolation=level) for level in ("function", "backbone")]
    cells = [cell for run in runs for cell in run.cells()]
    assert levels(compare(cells)) == {"serverless-lora, function", "serverless-lora, backbone"}
    assert levels(compare(cells, None, factor("isolation"))) == {"function", "backbone"}
    with pytest.raises(HarnessError, match=r"system\.isolation: 'function' in .* and 'backbone'"):
        compare(cells, None, factor("workload"))


def test_a_cell_from_before_levels_is_not_pooled_with_one_at_a_level(
    cells: dict[str, Cell],
) -> None:
    new = cells["serverless-lora"]
    old = replace(new, manifest=new.manifest.model_copy(update={"isolation": None}))
    found = levels(compare([old, new], strict=False))
    assert found == {"serverless-lora", "serverless-lora, function"}


def test_one_label_with_other_tenants_is_not_pooled(
    make: Callable[..., Run], cells: dict[str, Cell]
) -> None:
    (other,) = make(SYSTEMS[:1], tenants=3).cells()
    with pytest.raises(HarnessError, match=r"system\.tenants\.C: 't0' in .* and 't2'"):
        compare([cells["serverless-lora"], other])
