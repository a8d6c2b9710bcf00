"""``slbench run --simulated``: the same records from virtual time, and how far from live."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from harness.cells.profile_check import last_check
from harness.cli import build
from harness.errors import HarnessError
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment import Experiment
from harness.experiment_files import load
from harness.fidelity.checks import reference_records
from harness.records import Run, new_run
from systems.models.shapes import SHAPES
from systems.simulation.profile import load_profile

TABLES = ("requests", "spans", "memory", "billing", "decisions")


def simulated(name: str, out: Path, workers: int | None = 1, **choice: str) -> Run:
    experiment = load(name, {"mode": "simulated", **choice}).tracing()
    run = new_run(experiment.model_dump(mode="json"), out)
    Runner(experiment, run, Progress()).execute(workers)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """By as many processes as usual; the others start none, which takes longer than their cells."""
    return simulated("time-breakdown", tmp_path_factory.mktemp("simulated"), workers=None)


def test_every_cell_says_that_it_is_simulated_and_by_which_profile(run: Run) -> None:
    for cell in run.cells():
        assert cell.manifest.mode == "simulated"
        assert cell.manifest.profile is not None
        assert cell.manifest.profile["name"] == "l40s"
        assert cell.manifest.workload["duration_s"] == 50
        assert cell.manifest.valid
        assert cell.summary["ok"] == cell.summary["n"] == 8


def test_a_cell_says_that_a_live_client_had_not_waited(run: Run, tmp_path: Path) -> None:
    """The simulated client waits for every answer, which a live one gives up after a while."""
    hasty = simulated("time-breakdown", tmp_path, request_timeout_s="5")
    for cell, patient in zip(hasty.cells(), run.cells(), strict=True):
        longer = int((patient.requests["e2e_s"] > 5).sum())
        said = [each for each in cell.manifest.warnings if "request_timeout_s" in each]
        assert patient.manifest.warnings == ()
        assert [each.split(" ", 3)[:3] for each in said] == [[str(longer), "of", "8"]] * (
            longer > 0
        )
    assert any(cell.manifest.warnings for cell in hasty.cells())


def test_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    again = simulated("time-breakdown", tmp_path)
    for one, two in zip(run.cells(), again.cells(), strict=True):
        for name in TABLES:
            first, second = (cell.path / f"{name}.parquet" for cell in (one, two))
            assert first.read_bytes() == second.read_bytes()


def test_a_directory_without_weights_is_simulated_as_the_preset_of_its_shape(
    run: Run, tmp_path: Path
) -> None:
    (shape,) = (shape for shape in SHAPES if shape.name == "llama2-7b")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(shape.fields))
    choice = {"mode": "simulated", "deployment.backbone": str(tmp_path / "mine")}
    found = simulated("time-breakdown", tmp_path, **choice)
    for one, two in zip(run.cells(), found.cells(), strict=True):
        assert two.manifest.deployment["backbones"] == {"mine": "mine"}
        assert two.summary == one.summary


def test_every_batch_is_explained_by_the_numbers_that_chose_it(run: Run) -> None:
    cell = next(cell for cell in run.cells() if cell.system == "serverless-lora")
    decisions = pq.read_table(cell.path / "decisions.parquet").to_pylist()
    batches = [json.loads(each["numbers"]) for each in decisions if each["kind"] == "batch"]
    assert len(batches) == 8
    assert {"margin_ns", "size", "at_work", "group", "device"} <= set(batches[0])


def test_a_system_that_runs_live_only_cannot_be_simulated(tmp_path: Path) -> None:
    experiment = Experiment.model_validate(
        {
            "name": "one",
            "mode": "simulated",
            "profile": "l40s",
            "systems": [{"name": "vllm"}],
            "workloads": [{"name": "time-breakdown"}],
            "deployment": {"backbone": "llama2-7b"},
        }
    )
    run = new_run(experiment.model_dump(mode="json"), tmp_path)
    with pytest.raises(HarnessError, match="system vllm runs live only"):
        Runner(experiment, run, Progress()).execute()


def test_a_server_is_billed_by_the_hour_for_the_cards_that_it_holds(tmp_path: Path) -> None:
    """One of four, at an eighth of an instance's price, called or not."""
    experiment = Experiment.model_validate(
        {
            "name": "one",
            "mode": "simulated",
            "profile": "l40s",
            "systems": [{"name": "dlora"}],
            "workloads": [{"name": "time-breakdown"}],
            "deployment": {
                "backbone": "llama2-7b", "dtype": "float16", "devices": 4,
                "device_memory_gib": 44,
            },
        }
    )  # fmt: skip
    run = new_run(experiment.model_dump(mode="json"), tmp_path)
    Runner(experiment, run, Progress()).execute()
    (cell,) = run.cells()
    (row,) = pq.read_table(cell.path / "billing.parquet").to_pylist()
    assert cell.manifest.prices["name"] == "aws-g6e-48xlarge"
    assert row["usd"] == pytest.approx(30.13118 / 8 * row["end_ns"] / 3600e9)
    assert {"startup_s", "merged_s", "decisions"} <= set(cell.manifest.measured)


def test_in_simulated_mode_an_experiment_takes_its_other_section() -> None:
    live, other = load("main"), load("main", {"mode": "simulated"})
    assert live.deployment.backbone == "smollm2-135m"
    assert other.deployment.backbones == ("llama2-7b", "llama2-13b")
    assert other.deployment.slo_of("llama2-13b") == 4.0
    assert other.deployment.limits.threads_per_instance == 1, "merged key by key"


def test_the_shipped_check_goes_into_what_simulated_cells_say() -> None:
    check = last_check(load_profile("cpu-small"))
    assert check is not None
    assert {name.split("/")[0] for name in check} == set(reference_records()["cpu-small"].records)
    assert {"ttft_mean_s", "tpot_p95_s", "cold"} <= set(
        check["isolation-cores/serverless-lora/azure-bursty8"]
    )
    assert last_check(load_profile("l40s")) is None
    changed = load_profile("cpu-small").model_copy(update={"sha256": "0" * 64})
    assert last_check(changed) is None, "errors of another version of the profile"


@pytest.mark.parametrize("place", ["results/reference", "results/runs"])
def test_a_resumed_run_is_drawn_unless_it_is_a_reference_record(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    record = tmp_path / place / run.id
    shutil.copytree(run.path, record)
    before = contents(record)
    done = CliRunner().invoke(build(["run"]), ["run", "--resume", f"{place}/{run.id}"])
    assert done.exit_code == 0, done.output
    added = {each.relative_to(record).parts[0] for each in contents(record) if each not in before}
    assert before.items() <= contents(record).items()
    if place == "results/reference":
        assert not added
        assert f"no figure is drawn into a reference record; slbench figures --from {place}/" in (
            done.output
        )
    else:
        assert added == {"figures"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seed", "5"], "has settings of its own; leave out --seed"),
        (["--simulated", "--set", "repeats=2"],
         "has settings of its own; leave out --set, --simulated"),
        (["time-breakdown", "--simulated", "--trace-decisions", "--seed", "5"],
         "differs from what is asked for in seeds; slbench run --resume"),
    ],
)  # fmt: skip
def test_a_run_is_not_resumed_with_other_settings_than_its_own(
    run: Run, words: list[str], told: str
) -> None:
    done = CliRunner().invoke(build(["run"]), ["run", *words, "--resume", str(run.path)])
    assert isinstance(done.exception, HarnessError)
    assert str(done.exception).startswith(f"--resume {run.path}: {told}")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
