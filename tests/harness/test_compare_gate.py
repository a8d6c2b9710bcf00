"""``slbench compare`` as a gate: two runs side by side, conditions on the change, formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from harness.cli import build
from harness.comparison import (
    Comparison,
    Outcome,
    Row,
    cells_of,
    compare,
    gate,
    judge,
    metrics_of,
    only,
    open_runs,
    usual_factor,
)
from harness.errors import HarnessError
from harness.records import Cell, Run, new_run
from harness.report.differences import lines
from harness.report.table import tables
from harness.stats import Estimate, Interval

from .compared import BASE, OURS, cell

LABELS = ("serverless-lora-no-adaptive-batching", "serverless-lora-backbone", OURS, BASE)
COMMIT = {"commit": "c0ffee", "dirty": False}
MEAN = "ttft_s.mean"
LATER = {"commit": "decade", "dirty": False}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    def named(name: str) -> Run:
        return new_run(
            {"name": name, "systems": [{"name": OURS}, {"name": BASE}]},
            tmp_path_factory.mktemp("runs"),
        )

    return named


@pytest.fixture(scope="module")
def before(make: Callable[[str], Run]) -> Run:
    run = make("before")
    cell(run, OURS, git=COMMIT)
    cell(run, BASE, git=COMMIT)
    return run


@pytest.fixture(scope="module")
def after(make: Callable[[str], Run]) -> Run:
    """A fifth slower in its first system, of another commit; its second system was not run."""
    run = make("after")
    cell(run, OURS, slower=1.2, git=LATER)
    return run


@pytest.fixture(scope="module")
def both(before: Run, after: Run) -> Comparison:
    cells = cells_of(open_runs([str(before.path), str(after.path)]))
    return compare(cells, before.id, usual_factor(cells), metrics=metrics_of(["ttft_s", MEAN]))


def slbench(*arguments: object) -> Result:
    return CliRunner().invoke(build(["compare"]), ["compare", *map(str, arguments)])


def outcomes(found: Comparison, *texts: str) -> list[str]:
    return [str(each.outcome) for each in judge(found, [gate(text) for text in texts])]


def test_two_runs_of_two_commits_are_side_by_side_by_label(
    before: Run, after: Run, both: Comparison
) -> None:
    ours, theirs = ({row.entry.level for row in group} for group in reversed(both.groups))
    assert (ours, theirs) == ({before.id, after.id}, {before.id})
    told = list(lines(both))
    assert f"{OURS}: git.commit differs: c0ffee ({before.id}); decade ({after.id})" in told
    assert f"warning: {BASE}, time-breakdown: only in {before.id}" in told


def test_runs_without_a_system_in_common_are_compared_by_system(
    make: Callable[[str], Run], after: Run
) -> None:
    other = make("other")
    cell(other, BASE, git=LATER)
    cells = cells_of(open_runs([str(other.path), str(after.path)]))
    assert usual_factor(cells).name == "system"
    assert len(compare(cells, BASE, usual_factor(cells)).groups) == 1


def test_runs_of_one_id_are_called_by_the_given_names(tmp_path: Path, before: Run) -> None:
    again = tmp_path / before.id
    again.mkdir()
    (again / "run.json").write_bytes((before.path / "run.json").read_bytes())
    assert list(open_runs([str(before.path), str(again)])) == [str(before.path), str(again)]
    assert list(open_runs([str(before.path), str(before.path)])) == [before.id]


def test_two_runs_stay_strict_where_one_run_is_not(make: Callable[[str], Run]) -> None:
    """Within a run a rented system has another price sheet, and may have fewer repeats."""
    run, prices = make("mixed"), {"name": "alibaba-fc", "sha256": "1"}
    cells = [cell(run, OURS, repeat=repeat, prices=prices) for repeat in (0, 1)]
    rented = cell(run, BASE, prices={"name": "aws-p5-48xlarge", "sha256": "2"})
    with pytest.raises(HarnessError, match=r"^seed: "):
        compare([*cells, rented])
    with pytest.raises(HarnessError, match=r"^prices\.sha256: "):
        compare([cells[0], rented])
    found = compare([*cells, rented], BASE, strict=False)
    assert list(lines(found)) == [
        f"warning: seed differs: 0, 0 ({OURS}); 0 ({BASE})",
        f"warning: prices.name differs: alibaba-fc ({OURS}); aws-p5-48xlarge ({BASE})",
    ]
    done = slbench(run.path)
    assert done.exit_code == 0, done.output
    assert "warning: prices.name differs" in done.stdout


@pytest.mark.parametrize("key", ["schedule_sha256", "mode"])
def test_systems_of_one_run_have_one_load(make: Callable[[str], Run], key: str) -> None:
    run = make("apart")
    ours, theirs = cell(run, OURS), cell(run, BASE)
    changed = theirs.manifest.model_copy(update={key: "simulated"})
    with pytest.raises(HarnessError, match=rf"^{key}: "):
        compare([ours, replace(theirs, manifest=changed)], strict=False)


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((1.15, 1.3), Outcome.FAILS),
        ((1.05, 1.35), Outcome.UNSURE),
        ((1.1, 1.3), Outcome.UNSURE),
        (None, Outcome.FAILS),
    ],
)
def test_a_change_counts_if_its_whole_interval_is_past_the_limit(
    before: Run, after: Run, both: Comparison, interval: Interval | None, outcome: Outcome
) -> None:
    ours, base = Estimate(1.2, 9), Estimate(1.0, 9)
    found = with_estimates(both, MEAN, **{after.id: ours, before.id: base})
    changed = replace(found, groups=tuple(with_ratio(group, interval) for group in found.groups))
    assert outcomes(changed, f"{MEAN} > +10%") == [outcome]
    assert outcomes(changed, f"{MEAN} > +40%", f"{MEAN} < -10%") == [Outcome.HOLDS] * 2


def with_ratio(group: Sequence[Row], interval: Interval | None) -> tuple[Row, ...]:
    return tuple(replace(row, ratio=Estimate(1.2, 9, interval)) for row in group)


def with_estimates(found: Comparison, name: str, **estimates: Estimate) -> Comparison:
    """Replace the estimates of a metric by level, and take its ratios away."""
    groups = tuple(
        tuple(
            replace(row, estimate=estimates[row.entry.level], ratio=None)
            if row.name == name and row.entry.level in estimates
            else row
            for row in group
        )
        for group in found.groups
    )
    return replace(found, groups=groups)


@pytest.mark.parametrize(
    ("ours", "base", "outcome"),
    [
        (Estimate(1.2, 9), Estimate(1.0, 9), Outcome.FAILS),
        (Estimate(1.2, 9, (1.0, 1.4)), Estimate(1.0, 9, (0.9, 1.1)), Outcome.UNSURE),
        (Estimate(1.4, 9, (1.3, 1.5)), Estimate(1.0, 9, (0.9, 1.1)), Outcome.FAILS),
        (Estimate(0.1, 9, (0.05, 0.2)), Estimate(0.0, 9, (0.0, 0.02)), Outcome.FAILS),
        (Estimate(0.1, 9, (0.01, 0.2)), Estimate(0.0, 9, (0.0, 0.02)), Outcome.UNSURE),
        (Estimate(0.0, 9), Estimate(0.0, 9), Outcome.HOLDS),
        (Estimate(None, 0), Estimate(1.0, 9), Outcome.UNKNOWN),
        (Estimate(1.0, 9), Estimate(None, 0), Outcome.UNKNOWN),
    ],
)
def test_without_a_ratios_interval_the_values_decide(
    before: Run, after: Run, both: Comparison, ours: Estimate, base: Estimate, outcome: Outcome
) -> None:
    found = with_estimates(both, MEAN, **{after.id: ours, before.id: base})
    (verdict,) = judge(found, [gate(f"{MEAN} > +10%")])
    assert verdict.outcome is outcome
    assert verdict.failed is (outcome in (Outcome.FAILS, Outcome.UNKNOWN))
    json.loads(json.dumps(verdict.as_dict(), allow_nan=False))


def test_a_gate_that_cannot_be_judged_does_not_pass(
    before: Run, after: Run, both: Comparison
) -> None:
    neither = {after.id: Estimate(None, 0), before.id: Estimate(None, 0)}
    found = with_estimates(both, MEAN, **neither)
    alone = compare(cells_of(open_runs([str(after.path)])), metrics=metrics_of([MEAN]))
    for comparison in (found, alone):
        with pytest.raises(HarnessError, match="no value to compare with"):
            judge(comparison, [gate(f"{MEAN} > +10%")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft_s.p95 > 10%", "signed change"),
        ("ttft_s.p95 > +10", "such as 'ttft_s.p95 > [+]10%'"),
        ("ttft_s.p95 >= +10%", "signed change"),
        ("ttft_s > +10%", "ttft_s.mean"),
        ("ttft_s.p96 > +10%", r"did you mean .*ttft_s\.p95"),
        ("measured_pss_bytes.peak > +10%", "these runs do not have it"),
    ],
)
def test_a_wrong_condition_is_told_what_would_be_right(
    both: Comparison, text: str, said: str
) -> None:
    with pytest.raises(HarnessError, match=said) as refused:
        judge(both, [gate(text)])
    assert text.split()[0] in str(refused.value)


def test_the_command_exits_with_1_and_the_line_that_failed(before: Run, after: Run) -> None:
    runs = (before.path, after.path)
    done = slbench(*runs, "--fail-if", "ttft_s.mean > +10%", "--fail-if", "cost_usd > +1%")
    assert done.exit_code == 1
    failed, held = done.stderr.splitlines()
    assert failed.startswith(f"slbench: fails: ttft_s.mean > +10%: {OURS}, time-breakdown")
    assert held.startswith("slbench: holds: cost_usd > +1%")
    assert slbench(*runs, "--fail-if", "ttft_s.mean > +50%").exit_code == 0


def test_json_has_every_metric_and_the_verdicts(before: Run, after: Run) -> None:
    done = slbench(before.path, after.path, "--json", "--fail-if", "ttft_s.mean > +10%")
    document = json.loads(done.stdout)
    assert document["factor"] == "run"
    assert document["baseline"] == before.id
    (verdict,) = document["verdicts"]
    assert (verdict["outcome"], verdict["system"]) == ("fails", OURS)
    assert verdict["change"] == pytest.approx(0.2, abs=0.02)
    assert {"ttft_s.p90", "hot_share", "tokens_per_usd"} <= {r["metric"] for r in document["rows"]}


def test_csv_has_a_row_per_number_and_what_is_unknown_is_empty(before: Run) -> None:
    done = slbench(before.path, "--format", "csv", "--metrics", "ttft_s.mean,cost_usd")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["level"], row["metric"]) for row in rows] == [
        (level, name) for name in ("ttft_s.mean", "cost_usd") for level in (BASE, OURS)
    ]
    assert float(rows[1]["ratio_ci95_low"]) < float(rows[1]["ratio"]) < 0.5
    assert rows[0]["ratio"] == rows[2]["ci95_low"] == ""


def test_markdown_has_the_ratio_behind_the_value(before: Run) -> None:
    done = slbench(before.path, "--format", "markdown", "--metrics", "ttft_s")
    head, rule, mean = done.stdout.splitlines()[2:5]
    assert head == f"|  | n | {OURS} | {BASE} |"
    assert rule == "| --- | --: | --: | --: |"
    assert mean.startswith("| TTFT mean, ms | 400 |")
    assert mean.count("÷ 0.3") == 1


def test_about_twelve_metrics_unless_all_are_asked_for(before: Run) -> None:
    brief, whole = (labels(slbench(before.path, *more).stdout) for more in ((), ("--all",)))
    assert {"TTFT mean, ms", "TTFT p95, ms", "answered, %"} <= brief < whole
    assert 9 <= len(brief) <= 13
    assert "TTFT p90, ms" in whole - brief


def labels(text: str) -> set[str]:
    return {line.partition("  ")[0] for line in text.splitlines()[1:] if line.strip() == line}


def test_metrics_come_in_the_order_asked_for_and_unknown_ones_are_refused(before: Run) -> None:
    names = ["cost_usd", "ttft_s.mean"]
    found = only(compare(cells_of(open_runs([str(before.path)])), metrics=metrics_of(names)), names)
    assert list(dict.fromkeys(row.name for row in found.groups[0])) == names
    refused = slbench(before.path, "--metrics", "ttft.p95").exception
    assert isinstance(refused, HarnessError)
    assert "did you mean" in str(refused)


@pytest.fixture(scope="module")
def four(make: Callable[[str], Run]) -> list[Cell]:
    run = make("four")
    return [cell(run, label) for label in LABELS]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_name_is_broken_at_any_width(four: list[Cell], width: int) -> None:
    names = ["ttft_s", "ttft_by_start_type.hot", "cost_usd"]
    found = only(compare(four, BASE, metrics=metrics_of(names)), names)
    console = Console(width=width, record=True, file=io.StringIO())
    for part in tables(found, width):
        console.print(part, crop=False)
    text = console.export_text()
    words = text.split()
    assert all(words.count(label) >= 1 for label in LABELS)
    blocks = text.count("TTFT, hot mean, ms")
    assert blocks == {60: 4, 80: 3, 100: 2, 200: 1}[width]
    widest = max(cell_len(line.rstrip()) for line in text.splitlines())
    assert widest <= max(width, 68)


def test_seeds_and_repeats_are_one_table(make: Callable[[str], Run]) -> None:
    run = make("seeds")
    for seed in (1, 2):
        cell(run, OURS, seed=seed)
        cell(run, BASE, seed=seed)
    text = slbench(run.path, "--metrics", "ttft_s.mean").stdout
    assert text.splitlines()[0].startswith("time-breakdown: 800 requests, live, seed 1, 2")
    assert text.count("TTFT mean") == 1
