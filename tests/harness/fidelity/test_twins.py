"""What is simulated of a live run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import build
from harness.errors import HarnessError
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment_files import load
from harness.fidelity.checks import Checked, check, check_all, reference_records
from harness.fidelity.twins import _check_schedules, simulate, twin_of
from harness.places import REFERENCE
from harness.records import Run, new_run, open_run

ROOT = Path(__file__).parents[3]
RECORD = ROOT / REFERENCE / "main-24-h200"


def test_every_checked_record_exists_and_can_be_simulated() -> None:
    for profile, records in reference_records().items():
        for record in records.records:
            live = open_run(ROOT / REFERENCE / record)
            twin = twin_of(live, profile, [cell for cell in live.cells() if records.has(cell)])
            assert (twin.mode, twin.profile) == ("simulated", profile)


def test_options_have_their_names_of_today_and_live_only_systems_are_left_out() -> None:
    live = open_run(RECORD)
    systems = [*live.experiment["systems"], {"name": "vllm", "options": {}}]
    twin = twin_of(Run(RECORD, {**live.experiment, "systems": systems}), "h100")
    assert {each.name for each in twin.systems} == {
        "serverless-lora",
        "serverless-llm",
        "instainfer",
    }
    assert all("spares" not in each.options for each in twin.systems)


def test_each_cell_is_simulated_as_its_code_of_then_did(tmp_path: Path) -> None:
    """Those of one run may be of several days: some are from before an option."""
    assert {
        each.options.get("mixed_passes") for each in twin_of(open_run(RECORD), "h100").systems
    } == {False}
    live = small_run(tmp_path / "live", seeds=[0, 1])
    (older,) = (cell for cell in live.cells() if cell.manifest.seed == 0)
    manifest = json.loads((older.path / "manifest.json").read_bytes())
    del manifest["system"]["options"]["mixed_passes"]
    (older.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = simulate(open_run(live.path), "h200", tmp_path / "simulated", Progress())
    assert {
        cell.manifest.seed: cell.manifest.system["options"]["mixed_passes"] for cell in found
    } == {0: False, 1: True}


def changed(**changes: Any) -> Run:
    return Run(RECORD, {**open_run(RECORD).experiment, **changes})


def test_what_cannot_be_simulated_is_named() -> None:
    deployment = {**open_run(RECORD).experiment["deployment"], "cluster": "local:2"}
    with pytest.raises(HarnessError, match="main-24-h200: a run on a cluster"):
        twin_of(changed(deployment=deployment), "h100")
    with pytest.raises(HarnessError, match="main-24-h200: none of its systems"):
        twin_of(changed(systems=[{"name": "vllm", "options": {}}]), "h100")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("runs"))


def small_run(folder: Path, **changes: Any) -> Run:
    """A simulated run of one cell a seed, which stands for a live one."""
    changes = {"mode": "simulated", "systems": [{"name": "serverless-lora"}], **changes}
    experiment = load("time-breakdown", changes)
    run = new_run(experiment.model_dump(mode="json"), folder)
    Runner(experiment, run, Progress()).execute()
    return run


def test_a_run_that_was_simulated_by_the_profile_agrees_with_its_twin(
    simulated: Run, tmp_path: Path
) -> None:
    document = check(simulated, "l40s", Progress(), keep=tmp_path)
    (row,) = document["cells"]
    assert (row["record"], row["system"], row["level"]) == (
        simulated.id, "serverless-lora", "function",
    )  # fmt: skip
    assert (row["ttft_mean_s"]["error"], row["ttft_ks"]["statistic"]) == (0.0, 0.0)
    assert len(list(tmp_path.iterdir())) == 1, "the simulated run is kept where it was asked for"


def test_the_command_does_not_take_a_simulation_for_a_live_run(simulated: Run) -> None:
    words = ["fidelity", str(simulated.path), "--profile", "l40s"]
    with pytest.raises(HarnessError, match=f"{simulated.path}: is a simulation; name live runs"):
        CliRunner().invoke(build(["fidelity"]), words, catch_exceptions=False)


def test_another_schedule_is_not_compared(simulated: Run) -> None:
    cells = simulated.cells()
    other = [
        type(cell)(
            cell.path,
            cell.manifest.model_copy(update={"schedule_sha256": "another"}),
            cell.summary,
        )
        for cell in cells
    ]
    with pytest.raises(HarnessError, match="another schedule today"):
        _check_schedules(simulated, other)


def test_the_cells_of_a_record_are_checked_against_the_profile_of_their_time() -> None:
    cell = max(open_run(RECORD).cells(), key=lambda each: each.manifest.started_at)
    started = datetime.fromisoformat(cell.manifest.started_at)
    later = started + timedelta(seconds=1)
    assert [Checked(since=each).has(cell) for each in (started, later)] == [True, False]
    assert [Checked(until=each).has(cell) for each in (started, later)] == [False, True]
    with pytest.raises(HarnessError, match="none of its systems"):
        check_all([open_run(RECORD)], "h200", Progress(), of=Checked(since=later))


def test_the_committed_checks_are_of_the_records_that_are_named() -> None:
    for profile, records in reference_records().items():
        document = json.loads((ROOT / REFERENCE / f"fidelity-{profile}.json").read_bytes())
        assert {row["record"] for row in document["cells"]} == set(records.records)
        for record in records.records:
            live = open_run(ROOT / REFERENCE / record)
            cells = [cell for cell in live.cells() if records.has(cell)]
            simulable = {each.label for each in twin_of(live, profile, cells).systems}
            rows = [row for row in document["cells"] if row["record"] == record]
            assert {row["system"] for row in rows} == simulable, record
            loads = {(cell.system, cell.workload) for cell in cells}
            assert {(row["system"], row["workload"]) for row in rows} <= loads, record
