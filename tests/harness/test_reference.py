"""Reference records: small enough to be committed, and the same numbers as before they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import metrics
from harness.records import open_run, read_cell
from harness.reference import studies
from harness.reference.compact import compact
from tests.harness.made import END, made_run

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
MOST_BYTES = 20_000_000


def test_all_of_them_together_stay_small() -> None:
    assert sum(f.stat().st_size for f in REFERENCE.rglob("*") if f.is_file()) < MOST_BYTES


@pytest.mark.parametrize("name", list(studies()))
def test_every_study_has_left_its_records(name: str) -> None:
    study = studies()[name]
    if study.values:
        assert (REFERENCE / name / "numbers.parquet").exists()
    else:
        wanted = {system["name"] for system in open_run(REFERENCE / name).experiment["systems"]}
        assert {cell.system for cell in open_run(REFERENCE / name).cells()} == wanted


def test_a_compact_cell_has_the_same_summary(tmp_path: Path) -> None:
    cell = made_run(tmp_path, ("serverless-lora",)).cells()[0]
    before = {name: cell.table(name) for name in ("requests", "spans", "memory", "billing")}
    compact(cell)
    after = {name: read_cell(cell.path).table(name) for name in before}
    ours, theirs = (metrics.summary(each, END / 1e9) for each in (after, before))
    assert ours.pop("cost_usd") == pytest.approx(theirs.pop("cost_usd"), rel=1e-12)
    assert {k: v for k, v in ours.items() if "usd" not in k and "cost" not in k} == {
        k: v for k, v in theirs.items() if "usd" not in k and "cost" not in k
    }
    assert after["billing"].num_rows < before["billing"].num_rows
    assert after["requests"].equals(before["requests"])


def test_a_sweep_varies_its_number_and_its_workload() -> None:
    study = studies()["weak-scaling"]
    with study.at(4) as experiment:
        assert experiment.deployment.devices == 4
        workload = Path(experiment.workloads[0].name)
        assert "functions = 8\n" in workload.read_text(encoding="utf-8")
    assert not workload.exists()
