"""Comparisons: only of cells that differ in nothing but the declared factor, with intervals."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness.claims.evaluation import Evaluation
from harness.comparison import FACTORS, compare, factor
from harness.errors import HarnessError
from harness.metrics import metric
from harness.records import Cell, Run, new_run, open_run
from harness.report.differences import lines
from harness.report.table import comparison_table, tables
from harness.report.tables_html import summary_table
from harness.report.title import title

from .compared import BASE, COUNT, DURATION_S, OURS, cell, row

MEAN = "ttft_from_schedule_s.mean"
EVALUATION = Path(__file__).parents[2] / "results" / "reference" / "evaluation"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run({"name": "made", "systems": [{"name": OURS}, {"name": BASE}]}, tmp_path)


def test_a_ratio_is_to_the_baseline_and_its_interval_holds_it(run: Run) -> None:
    found = compare([cell(run, OURS), cell(run, BASE)], BASE)
    for name in ("ttft_s.mean", "ttft_s.p50"):
        ratio = row(found, name, OURS).ratio
        assert ratio is not None
        assert ratio.value == pytest.approx(1 / 3, rel=0.05)
        low, high = ratio.ci95 or (0, 0)
        assert low < ratio.value < high
        # Both systems have the same schedule and bursts, so the interval of the ratio is narrow.
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


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deployment": {"dtype": "float32"}}, "--factor deployment compares these"),
        ({"prices": {"name": "other", "sha256": "p2"}}, "--factor prices compares these"),
        ({"mode": "simulated"}, "--factor mode compares these"),
        (
            {"mode": "simulated", "prices": {"name": "other", "sha256": "p2"}},
            "no --factor compares these",
        ),
    ],
)
def test_a_refusal_names_the_factor_that_compares_the_cells(
    run: Run, changes: dict[str, Any], told: str
) -> None:
    ours = cell(run, OURS)
    theirs = Cell(ours.path, ours.manifest.model_copy(update=changes), ours.summary)
    with pytest.raises(HarnessError, match=f"in one --factor only: {told}$"):
        compare([ours, theirs], OURS)


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


def load(**steps: dict[str, Any]) -> dict[str, Any]:
    """Return the workload entry of a manifest, made by these transform steps."""
    made = [{"name": "generate", "parameters": {"seed": 0, "rate": 1.0}}]
    made += [{"name": name, "parameters": parameters} for name, parameters in steps.items()]
    digest = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    provenance = {"kind": "synthetic", "source": "made", "transforms": made}
    return {"name": "bursty", "sha256": digest, "kind": "synthetic", "provenance": provenance}


def loads(run: Run, *factors: float) -> list[Cell]:
    """Write cells of the same workload, compressed in time by these factors."""
    return [
        cell(run, OURS, repeat=number, workload=told, schedule_sha256=told["sha256"])
        for number, factor in enumerate(factors)
        for told in [load(compress={"factor": factor}) if factor != 1 else load()]
    ]


def test_loads_that_differ_in_time_scale_alone_are_refused_by_it(run: Run) -> None:
    """Once, cells of 552, 1,056 and 5,257 ms were pooled into 2,288 ms of 22,104 requests."""
    for cells in (loads(run, 20, 60), loads(run, 1, 60)):
        with pytest.raises(HarnessError, match=r"^workload\.provenance\.compress\.factor: .* 60"):
            compare(cells)
    again = [cell.manifest.model_copy(update={"seed": 7}) for cell in loads(run, 60)]
    other_seed = [
        replace(cell, manifest=told) for cell, told in zip(loads(run, 60), again, strict=True)
    ]
    with pytest.raises(HarnessError, match=r"compress\.factor: 20 in .* and 60"):
        compare([*loads(run, 20), *other_seed])


def test_loads_of_which_one_is_over_later_are_refused_by_it(run: Run) -> None:
    """The same requests, but memory is held, and throughput is per second, to the trace's end."""
    made = [load() | {"duration_s": duration_s} for duration_s in (50.0, 46.0)]
    cells = [cell(run, of, workload=told) for of, told in zip((OURS, BASE), made, strict=True)]
    with pytest.raises(HarnessError, match=r"^workload\.duration_s: 50\.0 .* 46\.0"):
        compare(cells)
    seeds = [cell(run, OURS, seed, workload=told) for seed, told in enumerate(made)]
    assert len(compare(seeds).groups[0][0].entry.cells) == 2, "capped loads differ by seed"


def test_an_earlier_record_that_does_not_say_how_long_its_load_was_is_compared(run: Run) -> None:
    made = [load() | {"duration_s": 50.0}, load()]
    cells = [cell(run, of, workload=told) for of, told in zip((OURS, BASE), made, strict=True)]
    assert len(compare(cells).groups) == 1
    other = [made[0], load() | {"sha256": "other"}]
    cells = [cell(run, of, workload=told) for of, told in zip((OURS, BASE), other, strict=True)]
    with pytest.raises(HarnessError, match=r"^workload\.sha256"):
        compare(cells)


def test_loads_are_in_the_order_of_their_values_whichever_a_system_has(run: Run) -> None:
    def of(system: str, scale: int) -> Cell:
        name = f"steady@time_scale={scale}"
        return cell(run, system, workload={"name": name, "sha256": name})

    cells = [of(BASE, 240), of(BASE, 960), of(OURS, 120), of(OURS, 240), of(OURS, 960)]
    loads = [group[0].entry.workload for group in compare(cells, strict=False).groups]
    assert loads == [f"steady@time_scale={scale}" for scale in (120, 240, 960)]


def test_one_schedule_for_one_seed_or_they_are_refused(run: Run) -> None:
    for changes in ({"schedule_sha256": "other"}, {"workload": load() | {"sha256": "other"}}):
        changed = {"workload": load(), **changes}
        cells = [cell(run, OURS, workload=load()), cell(run, OURS, repeat=1, **changed)]
        with pytest.raises(HarnessError, match=r"^(workload\.|schedule_)sha256: .*'other'"):
            compare(cells)


def test_loads_are_columns_of_their_own_where_the_factor_is_the_workload(run: Run) -> None:
    found = compare(loads(run, 20, 60, 20, 60), None, FACTORS["workload"])
    levels = {each.entry.level: each.entry for each in found.groups[0]}
    names = [f"bursty, compress.factor={factor}" for factor in (20, 60)]
    assert list(levels) == names
    assert [len(levels[name].cells) for name in names] == [2, 2]


def test_levels_are_named_by_what_differs_in_a_system_and_not_between_systems(run: Run) -> None:
    cells = [
        cell(run, OURS, system={"name": OURS, "options": {"batch": 1, "prewarmed": 4}}),
        cell(run, OURS, system={"name": OURS, "options": {"batch": 2, "prewarmed": 4}}),
        cell(run, BASE, system={"name": BASE, "options": {"replicas": 1}}),
    ]
    found = compare(cells, None, FACTORS["options"], strict=False)
    levels = {(each.entry.system, each.entry.level) for group in found.groups for each in group}
    assert levels == {(OURS, "batch=1"), (OURS, "batch=2"), (BASE, "batch=None")}


def test_a_table_over_a_sweep_is_not_titled_by_one_of_its_points(run: Run) -> None:
    points = [f"steady@time_scale={scale}" for scale in (120, 240)]
    cells = [cell(run, OURS, workload={"name": name, "sha256": name}) for name in points]
    found = compare(cells, None, FACTORS["sweep"], strict=False)
    assert [title(group, found).split(":")[0] for group in found.groups] == [OURS]


def test_how_one_load_was_made_is_no_difference(run: Run) -> None:
    told = load()
    reworded = told | {"provenance": told["provenance"] | {"source": "made, as is said now"}}
    compare([cell(run, OURS, workload=told), cell(run, BASE, workload=reworded)])


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "simulated", "profile": {"name": "h100", "sha256": "1"}},
        {"mode": "simulated", "seed": 1, "schedule_sha256": "s1"},
        {},
    ],
    ids=["a simulation run again", "a recorded trace under another seed", "a run named twice"],
)
def test_cells_that_came_out_the_same_are_one_sample(run: Run, changes: dict[str, Any]) -> None:
    first = cell(run, OURS, mode=changes.get("mode", "live"), profile=changes.get("profile"))
    told = first.manifest.model_copy(update=changes)
    again = [replace(first, manifest=told)] * 2
    alone, thrice = compare([first]), compare([first, *again])
    for name in ("ttft_s.mean", "ttft_s.p50", "cost_usd"):
        assert row(thrice, name, OURS).estimate == row(alone, name, OURS).estimate
    assert row(thrice, "cost_usd", OURS).as_dict()["cells"] == 1
    assert row(thrice, "cost_usd", OURS).as_dict()["cells_again"] == 2
    assert f"{OURS}: 1 of 3 cells are samples" in printed(tables(thrice, 100))
    assert "samples" not in printed(tables(alone, 100))


def test_a_re_run_of_a_simulation_is_compared_with_one_run_of_another_system(run: Run) -> None:
    ours, theirs = (cell(run, system, mode="simulated") for system in (OURS, BASE))
    found = compare([ours, ours, theirs], BASE)
    assert row(found, "ttft_s.mean", OURS).estimate.n == COUNT
    assert row(found, "ttft_s.mean", OURS).ratio is not None


def test_cells_of_one_run_are_pooled_by_the_same_rule(run: Run) -> None:
    cells = loads(run, 20, 60)
    with pytest.raises(HarnessError, match=r"compress\.factor"):
        compare(cells, strict=False)
    commits = [{"commit": name, "dirty": False} for name in ("c0ffee", "decade")]
    resumed = [cell(run, OURS, repeat=number, git=git) for number, git in enumerate(commits)]
    assert row(compare(resumed, strict=False), "cost_usd", OURS).estimate.n == 2
    with pytest.raises(HarnessError, match=r"git\.commit"):
        compare(resumed)


def test_the_machine_that_computed_a_simulation_has_no_part_in_it(run: Run) -> None:
    machines = [{"cpu": "c", "memory": memory} for memory in (1, 2)]
    cells = [
        cell(run, system, mode="simulated", machine=machine)
        for system, machine in zip((OURS, BASE), machines, strict=True)
    ]
    assert row(compare(cells, BASE), "ttft_s.mean", OURS).ratio is not None


def versions(run: Run, **changes: Any) -> list[Cell]:
    """Write a cell of each of two commits; the later one has another policy name, one more option,
    and the kind of its devices."""
    device = {"name": "cuda:0", "memory_bytes": 1}
    before = {
        "system": {"name": OURS, "policies": {"batching": "fill"}, "options": {"shed": False}},
        "git": {"commit": "c0ffee", "dirty": False},
        "deployment": {"dtype": "bfloat16", "devices": [device]},
    }
    after = {
        "system": {
            "name": OURS,
            "policies": {"batching": "fill-or-expire"},
            "options": {"shed": True, "prewarmed": 0},
        },
        "git": {"commit": "decade", "dirty": False},
        "deployment": {"dtype": "bfloat16", "devices": [{**device, "kind": "cuda"}]},
    }
    return [cell(run, OURS, **before), cell(run, OURS, repeat=1, **(after | changes))]


def test_versions_may_differ_in_policies_options_and_schema_and_say_in_which(run: Run) -> None:
    found = compare(versions(run), "c0ffee", factor("version"))
    assert row(found, "ttft_s.mean", "decade").ratio is not None
    listed = {each.key: each.values for each in found.differences}
    assert listed == {
        "system.policies.batching": {"c0ffee": "fill", "decade": "fill-or-expire"},
        "system.options.shed": {"c0ffee": False, "decade": True},
        "system.options.prewarmed": {"c0ffee": None, "decade": 0},
        "deployment.devices.0.kind": {"c0ffee": None, "decade": "cuda"},
    }
    assert f"{OURS}: system.policies.batching differs: fill (c0ffee); fill-or-expire (decade)" in (
        lines(found)
    )


def test_versions_may_not_differ_in_what_was_asked_of_them(run: Run) -> None:
    two = [{"name": f"cuda:{index}", "memory_bytes": 1} for index in range(2)]
    for changes, key in (
        ({"deployment": {"dtype": "float32"}}, r"deployment\.dtype"),
        ({"deployment": {"dtype": "bfloat16", "devices": two}}, r"deployment\.devices\.1\.name"),
        ({"schedule_sha256": "other"}, "schedule_sha256"),
        ({"prices": {"name": "alibaba-fc", "sha256": "p2"}}, r"prices\.sha256"),
        ({"profile": {"name": "l40s", "sha256": "1"}}, r"profile\.name"),
    ):
        with pytest.raises(HarnessError, match=rf"^{key}: "):
            compare(versions(run, **changes), None, factor("version"))


def test_the_evaluation_is_shown_over_all_its_segments_and_the_kept_one_by_name() -> None:
    """Its tables once showed 474 ms where the claims, from the same record, had 550 ms."""
    cells = [
        each
        for each in open_run(EVALUATION).cells()
        if (each.system, each.workload) in ((OURS, "azure-bursty8"), (BASE, "azure-bursty8"))
    ]
    found = compare(cells, OURS, metrics=[metric("ttft_from_schedule_s")])
    over = {r.entry.level: r for g in found.segments for r in g if r.name == MEAN}
    alone = row(found, MEAN, OURS)
    assert over[OURS].estimate.value == pytest.approx(0.394, abs=5e-4)
    assert alone.estimate.value == pytest.approx(0.332, abs=5e-4)
    claimed = Evaluation(open_run(EVALUATION))._of(OURS, "azure-bursty8", "", MEAN.split(".")[0])
    assert over[OURS].estimate.value == pytest.approx(np.mean(claimed))
    assert over[OURS].estimate.n == 8
    assert over[BASE].ratio is not None
    text = printed(tables(found, 100))
    assert "mean over 8 segments" in text
    assert "segment 92 alone of 92–99" in text
    html = summary_table(found).replace("<wbr>", "")
    assert html.index("mean over 8 segments") < html.index("segment 92 alone of 92–99")


def printed(found: Any) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    for table in found:
        console.print(table)
    return console.export_text()


def test_a_table_says_what_is_simulated_and_what_is_invalid(run: Run) -> None:
    changes = {"mode": "simulated", "profile": {"name": "h100", "sha256": "1"}}
    cells = [cell(run, OURS, **changes), cell(run, BASE, **changes, valid=False)]
    text = printed(tables(compare(cells, BASE), 100))
    title = text.splitlines()[0]
    assert "SIMULATED" in title
    assert "h100" in title
    assert f"{BASE} (INVALID)" in text
    assert f"{OURS} (INVALID)" not in text


def test_the_table_of_a_sweep_has_rates(run: Run) -> None:
    rates = {"throughput, 1/s", "output throughput, tokens/s"}
    for sweep, shown in (({"workloads.time_scale": 1}, rates), (None, set())):
        cells = [cell(run, name, sweep=sweep) for name in (OURS, BASE)]
        text = printed([comparison_table(cells, BASE, 100)])
        assert {rate for rate in rates if rate in text} == shown


def test_the_table_of_a_run_fits_into_100_columns_with_intervals(run: Run) -> None:
    text = printed([comparison_table([cell(run, OURS), cell(run, BASE)], BASE, 100)])
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


def test_a_run_without_a_finished_cell_is_refused_in_a_line(run: Run) -> None:
    done = slbench(str(run.path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "slbench: nothing to compare: the runs hold no finished cell\n"


def test_what_the_numbers_do_not_show_is_told_beside_them(tmp_path: Path) -> None:
    workload = {"name": "time-breakdown"}
    planned = {"name": "cut", "systems": [{"name": OURS}, {"name": BASE}], "workloads": [workload]}
    cut = new_run(planned, tmp_path)
    made = cell(cut, OURS, warnings=("another live run went on",))
    made.path.rename(made.path.parent / "0")
    done = slbench(str(cut.path), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"]
    assert done.stderr.splitlines() == [
        f"slbench: unfinished: 1 of 2 cells are there; slbench run --resume {cut.path} runs the"
        " others",
        f"slbench: warning: {OURS}/time-breakdown/0: another live run went on",
    ]


def test_unknown_baselines_and_factors_are_told_what_there_is(run: Run) -> None:
    with pytest.raises(HarnessError, match=OURS):
        compare([cell(run, OURS)], "nobody")
    with pytest.raises(HarnessError, match="known: system"):
        factor("weather")
    with pytest.raises(HarnessError, match="no finished cell"):
        compare([])
