"""Systems are compared where they differ in the declared factor alone, and with what certainty."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.compare import FACTORS, Comparison, Row, compare, factor
from harness.errors import HarnessError
from harness.metrics import summary
from harness.records import Cell, Manifest, Run, new_run, write_cell
from harness.report.table import comparison_table, tables

from .made import manifest
from .made import tables as made_tables
from .many import many_requests, spans_of

COUNT = 400
DURATION_S = 60.0
OURS, BASE = "serverless-lora", "serverless-llm"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run({"name": "made", "systems": [{"name": OURS}, {"name": BASE}]}, tmp_path)


def cell(run: Run, system: str, seed: int = 0, repeat: int = 0, **changes: Any) -> Cell:
    """Of 400 requests; serverless-llm is three times slower under the same schedule."""
    requests = many_requests(COUNT, seed, 3.0 if system == BASE else 1.0)
    content = {**made_tables(), "requests": requests, "spans": spans_of(requests)}
    told: Manifest = manifest(run, system).model_copy(
        update={"seed": seed, "repeat": repeat, "schedule_sha256": f"s{seed}", **changes}
    )
    number = len(list(run.path.rglob("manifest.json")))
    place = run.path / system / told.workload["name"] / f"{seed}-{repeat}-{number}"
    return write_cell(place, told, content, summary(content, DURATION_S))


def row(found: Comparison, name: str, level: str) -> Row:
    (one,) = [r for g in found.groups for r in g if (r.name, r.entry.level) == (name, level)]
    return one


def test_a_ratio_is_to_the_baseline_and_its_interval_holds_it(run: Run) -> None:
    found = compare([cell(run, OURS), cell(run, BASE)], BASE)
    for name in ("ttft_s.mean", "ttft_s.p50"):
        ratio = row(found, name, OURS).ratio
        assert ratio is not None
        assert ratio.value == pytest.approx(1 / 3, rel=0.05)
        low, high = ratio.ci95 or (0, 0)
        assert low < ratio.value < high
        # On the same schedule the two systems' bursts are the same: the ratio is all but certain.
        assert high / low < 1.1
    assert row(found, "ttft_s.mean", BASE).ratio is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule_sha256": "other"}, ("schedule_sha256", "'s0'", "'other'")),
        ({"workload": {"name": "time-breakdown", "sha256": "w2"}}, ("workload.sha256", "'w2'")),
        ({"deployment": {"dtype": "float32"}}, ("deployment.", "None")),
        ({"prices": {"name": "alibaba-fc", "sha256": "p2"}}, ("prices.sha256", "'p2'")),
        ({"mode": "simulated"}, ("mode", "'live'", "'simulated'")),
        ({"machine": {"cpu": "another"}}, ("machine.cpu", "'another'")),
        ({"versions": {"torch": "0.1"}}, ("versions.", "None")),
        ({"git": {"commit": "c0ffee", "dirty": False}}, ("git.commit", "'c0ffee'")),
        ({"seed": 7, "schedule_sha256": "s0"}, ("seed", "0", "7")),
    ],
)
def test_cells_that_differ_otherwise_are_refused_by_the_key(
    run: Run, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    ours = cell(run, OURS)
    manifest_of = ours.manifest.model_copy(update={"system": {"name": BASE}, **changes})
    theirs = Cell(ours.path, manifest_of, ours.summary)
    with pytest.raises(HarnessError) as refused:
        compare([ours, theirs], BASE)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(words[0])
    for word in words:
        assert word in str(refused.value)


def test_one_system_with_two_sets_of_options_is_not_pooled(run: Run) -> None:
    first, second = (
        replace(one, manifest=one.manifest.model_copy(update={"system": told}))
        for one, told in (
            (cell(run, OURS), {"name": OURS, "options": {"batch": 1}}),
            (cell(run, OURS, seed=1), {"name": OURS, "options": {"batch": 2}}),
        )
    )
    with pytest.raises(HarnessError, match=r"system\.options\.batch: 1 .* and 2"):
        compare([first, second])


def test_what_is_declared_to_differ_may_and_names_the_levels(run: Run) -> None:
    small = cell(run, OURS, deployment={"dtype": "bfloat16", "limits": {"max_batch_size": 1}})
    large = cell(run, OURS, deployment={"dtype": "bfloat16", "limits": {"max_batch_size": 8}})
    found = compare([small, large], None, factor("deployment"))
    assert found.baseline == "limits.max_batch_size=8"
    assert row(found, "ttft_s.mean", "limits.max_batch_size=1").ratio is not None


def test_workloads_are_compared_unpaired(run: Run) -> None:
    cells = [
        cell(run, OURS, seed=0, workload={"name": name, "sha256": name}, schedule_sha256=name)
        for name in ("calm", "bursty")
    ]
    found = compare(cells, "calm", FACTORS["workload"])
    ratio = row(found, "ttft_s.mean", "bursty").ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(1.0)
    assert ratio.ci95 is not None
    assert ratio.ci95[1] / ratio.ci95[0] > 1.1, "the same numbers, but not the same requests"


def test_seeds_and_repeats_are_pooled(run: Run) -> None:
    one = compare([cell(run, OURS), cell(run, BASE)], BASE)
    cells = [
        cell(run, s, seed, repeat) for s in (OURS, BASE) for seed in (1, 2) for repeat in (0, 1)
    ]
    many = compare(cells, BASE)
    assert row(many, "ttft_s.mean", OURS).estimate.n == 4 * COUNT
    widths = [
        (interval[1] - interval[0])
        for found in (one, many)
        for interval in [row(found, "ttft_s.mean", OURS).estimate.ci95]
        if interval
    ]
    assert widths[1] < 0.75 * widths[0]
    rate = row(many, "requests_per_s", OURS).estimate.value
    assert rate == pytest.approx(COUNT / DURATION_S)


def test_a_total_has_an_interval_only_over_repeats(run: Run) -> None:
    alone = compare([cell(run, OURS)])
    assert row(alone, "cost_usd", OURS).estimate.ci95 is None
    thrice = compare([cell(run, OURS, repeat=repeat) for repeat in range(3)])
    assert row(thrice, "cost_usd", OURS).estimate.ci95 is not None


def printed(found: Any) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    for table in found:
        console.print(table)
    return console.export_text()


def test_a_table_says_what_is_simulated_and_what_is_invalid(run: Run) -> None:
    changes = {"mode": "simulated", "profile": {"name": "h100", "sha256": "1"}}
    cells = [cell(run, OURS, **changes), cell(run, BASE, **changes, valid=False)]
    text = printed(tables(compare(cells, BASE)))
    title, header = text.splitlines()[:2]
    assert "SIMULATED" in title
    assert "h100" in title
    assert f"{BASE} (INVALID)" in header
    assert f"{OURS} (INVALID)" not in header


def test_the_table_of_a_run_fits_into_100_columns_with_intervals(run: Run) -> None:
    text = printed([comparison_table([cell(run, OURS), cell(run, BASE)], BASE)])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    (line,) = [line for line in lines if line.startswith("TTFT mean, ms")]
    assert line.split()[3] == str(COUNT)
    assert line.count("[") == 2
    assert f"÷ {BASE}" in lines[0]


def slbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "compare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_gives_json_with_the_experiments_own_baseline(run: Run) -> None:
    cell(run, OURS)
    cell(run, BASE)
    done = slbench(str(run.path), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["baseline"] == BASE
    keys = {"system", "workload", "metric", "value", "n", "ci95", "ratio", "ratio_ci95"}
    assert all(keys <= set(each) for each in document["rows"])
    by_name = {(each["system"], each["metric"]): each for each in document["rows"]}
    assert by_name[OURS, "ttft_s.mean"]["ratio"] == pytest.approx(1 / 3, rel=0.05)
    assert by_name[BASE, "ttft_s.mean"]["ratio"] is None


def test_a_refusal_is_one_line_and_status_2(run: Run) -> None:
    cell(run, OURS)
    cell(run, BASE, schedule_sha256="other")
    done = slbench(str(run.path))
    assert done.returncode == 2
    assert done.stderr.startswith("slbench: schedule_sha256: 'other'")
    assert len(done.stderr.splitlines()) == 1


def test_unknown_baselines_and_factors_are_told_what_there_is(run: Run) -> None:
    with pytest.raises(HarnessError, match=OURS):
        compare([cell(run, OURS)], "nobody")
    with pytest.raises(HarnessError, match="known: system"):
        factor("weather")
    with pytest.raises(HarnessError, match="no finished cell"):
        compare([])
