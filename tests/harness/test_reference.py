"""Reference records: compacted to be committed, with the same numbers as the full records."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import metrics
from harness.errors import HarnessError, RecordError
from harness.execution.progress import Progress
from harness.records import open_run, read_cell
from harness.records.segments import segments
from harness.reference import Study, studies
from harness.reference.compact import compact, rounded, shortened
from harness.reference.making import make
from harness.report.unfinished import unfinished
from tests.harness.made import END, made_run

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
MOST_BYTES = 45_000_000


def test_all_of_them_together_stay_small() -> None:
    assert sum(f.stat().st_size for f in REFERENCE.rglob("*") if f.is_file()) < MOST_BYTES


def test_cells_that_a_reference_record_leaves_out_are_not_to_be_run_into_it() -> None:
    (told,) = unfinished(open_run(REFERENCE / "throughput-h200"))
    assert re.fullmatch(r"\d+ of \d+ cells are there", told)


@pytest.mark.parametrize("name", list(studies()))
def test_every_study_has_left_its_records(name: str) -> None:
    study = studies()[name]
    if study.values:
        assert (REFERENCE / name / "numbers.parquet").exists()
    else:
        chosen = open_run(REFERENCE / name).experiment["systems"]
        wanted = {system.get("label", system["name"]) for system in chosen}
        assert {cell.system for cell in open_run(REFERENCE / name).cells()} == wanted


def small(name: str) -> Study:
    """Return a study that is reduced to two systems, three seeds and 900 s for a quick test."""
    short = [{"name": "azure-bursty8", "overrides": {"duration_s": 900}}]
    return studies()[name].model_copy(
        update={
            "systems": ("serverless-lora", "serverless-llm"),
            "set": {"workloads": json.dumps(short), "seeds": "[1, 2, 3]",
                    "baseline": "serverless-lora"},
        }
    )  # fmt: skip


def test_a_study_of_several_segments_keeps_one_and_the_numbers_of_all(tmp_path: Path) -> None:
    place = make(small("evaluation"), tmp_path / "ref", Progress(), 1, tmp_path / "runs")
    run = open_run(place)
    assert {cell.path.name for cell in run.cells()} == {"1"}
    rows = segments(run)
    assert set(rows["segment"]) == {"1", "2", "3"}
    assert set(rows["system"]) == {"serverless-lora", "serverless-llm"}
    assert list((tmp_path / "runs" / ".reference").iterdir()) == [], "no unfinished study is left"
    kept = place / "segments.parquet"
    kept.write_bytes(kept.read_bytes()[:-20] + b"!" + kept.read_bytes()[-19:])
    with pytest.raises(RecordError, match=r"segments\.parquet: has changed since it was written"):
        segments(run)


def test_a_study_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small("evaluation")
    with monkeypatch.context() as patch:
        patch.setattr("harness.reference.making.compact", _killed)
        with pytest.raises(KeyboardInterrupt):
            make(study, tmp_path / "ref", Progress(), 1, tmp_path / "runs")
    assert not (tmp_path / "ref").exists()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("manifest.json")}
    assert len(before) == 6
    monkeypatch.setattr(
        "harness.execution.cell_runner.CellRunner.run", _killed
    )  # nothing is left to simulate
    place = make(study, tmp_path / "ref", Progress(), 1, tmp_path / "runs")
    assert len(open_run(place).cells()) == 2


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_sweep_at_other_values_gives_numbers_and_what_deciding_took(tmp_path: Path) -> None:
    systems = ("serverless-lora", "instainfer")
    ratio = {"systems": systems, "ratios": ("e2e_s.mean", "cost_usd")}
    study = studies()["weak-scaling"].over_values([2, 1]).model_copy(update=ratio)
    place = make(study, tmp_path / "ref", Progress(), 1, tmp_path / "runs")
    numbers = pq.read_table(place / "numbers.parquet").to_pandas()
    assert list(dict.fromkeys(numbers["at"])) == [2, 1]
    measured = numbers[numbers["metric"].isin(["decision_p99_us", "peak_rss_bytes"])]
    assert len(measured) == 2 * 2 * 2
    assert (measured["value"] > 0).all()
    value = numbers.set_index(["at", "system", "metric"])["value"]
    for at, metric in product(study.values, study.ratios):
        times = value[at, "serverless-lora", metric] / value[at, "instainfer", metric]
        assert value[at, "serverless-lora", f"{metric}.ratio"] == pytest.approx(times)
    assert len(numbers[numbers["metric"].str.endswith(".ratio")]) == 2 * 2, "none of the baseline"


def test_only_a_sweep_takes_values() -> None:
    with pytest.raises(HarnessError, match="not a sweep"):
        studies()["evaluation"].over_values([1])


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
    assert after["requests"].equals(before["requests"]), "of a simulation it is the same"


def test_what_a_server_wrote_is_compressed_and_sealed(tmp_path: Path) -> None:
    cell = made_run(tmp_path, ("serverless-lora",)).cells()[0]
    written = {"vllm.log": b"started\n" * 99, "metrics-after-vllm.txt": b"requests 3\n"}
    for name, text in written.items():
        (cell.path / name).write_bytes(text)
    compact(cell)
    for name, text in written.items():
        assert not (cell.path / name).exists()
        assert gzip.decompress((cell.path / f"{name}.gz").read_bytes()) == text
    assert {f"{name}.gz" for name in written} < set(read_cell(cell.path).manifest.files or ())


def test_times_of_tokens_are_kept_to_sixteen_microseconds() -> None:
    gaps = [[5_000_900, 200, 4_000_333], None, [], [7], [20_000, 1_001]]
    column = pa.array(gaps, pa.list_(pa.int64()))
    kept = rounded(pa.table({"request_id": range(5), "itl_ns": column}))["itl_ns"].to_pylist()
    assert kept == [[4_997_120, 0, 4_004_313], None, [], [7], [16_384, 4_617]]
    assert rounded(pa.table({"itl_ns": column.slice(1, 2)}))["itl_ns"].to_pylist() == [None, []]


def test_of_a_hash_its_beginning_is_kept() -> None:
    column = pa.array(["0123456789abcdef" * 4, None])
    kept = shortened(pa.table({"text_sha256": column}))["text_sha256"].to_pylist()
    assert kept == ["0123456789abcdef", None]


def test_a_sweep_varies_its_number_and_its_workload() -> None:
    study = studies()["weak-scaling"]
    with study.at(4) as experiment:
        assert experiment.deployment.devices == 4
        workload = Path(experiment.workloads[0].name)
        assert "functions = 8\n" in workload.read_text(encoding="utf-8")
    assert not workload.exists()


def test_a_sweep_over_load_sends_as_many_requests_at_every_rate() -> None:
    study = studies()["regimes-load"]
    for value in study.values:
        with study.at(value) as experiment:
            about = tomllib.loads(Path(experiment.workloads[0].name).read_text(encoding="utf-8"))
        assert about["population"]["rate_rps"] * about["duration_s"] == pytest.approx(4800)
