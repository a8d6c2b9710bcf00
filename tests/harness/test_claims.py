"""Published results: each is compared with ours by rules that do not depend on the system."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.claims import Claim, Ours, Published, claims, published
from harness.claims.best import Best
from harness.claims.evaluation import BASELINES, OURS
from harness.claims.rules import judge
from harness.claims.set_up import set_ups
from harness.cost import accountings
from harness.errors import HarnessError
from harness.places import REFERENCE
from harness.readme import blocks
from harness.readme.accountings import accountings_table
from harness.records import Cell, open_run
from harness.records.files import read_kept
from harness.reference import studies
from systems.simulation.profile import Number, load_profile, profile_names

from .typed import typed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judged() -> list[Claim]:
    return claims(ROOT / REFERENCE)


def test_every_published_result_has_ours_and_says_how_it_came_about(judged: list[Claim]) -> None:
    assert [claim.published.id for claim in judged] == [each.id for each in published()]
    for claim in judged:
        assert claim.published.stands.startswith(("a: ", "d: "))
        assert claim.findings
        for each in claim.findings:
            assert len(each.ours.values) == len(claim.published.values)
            assert each.ours.why
            assert each.assumed
            assert each.verdict == judge(claim.published, each.ours)


def test_a_row_is_live_on_a_named_machine_or_simulated_with_a_named_profile(
    judged: list[Claim],
) -> None:
    """Live and simulated rows stand beside each other, and none is both."""
    found = [each for claim in judged for each in claim.findings]
    assert {each.ours.mode for each in found} == {"live", "simulated"}
    for each in found:
        live = each.ours.mode == "live"
        assert bool(each.ours.on) == live
        assert bool(re.search(r"profile (l40s|h100x8)\b", each.ours.why)) == (not live)
    for set_up in set_ups():
        record = ROOT / REFERENCE / set_up.record
        if (record / "run.json").exists():
            manifest = open_run(record).cells()[0].manifest
            mine = [each.ours for each in found if each.set_up == set_up.name]
            assert {ours.mode for ours in mine} == {manifest.mode}, set_up.name
            if manifest.mode == "live":
                assert {ours.on for ours in mine} == {manifest.gpus}


def test_a_claim_about_cost_says_what_is_paid_for_in_every_set_up(judged: list[Claim]) -> None:
    titles = {each.title for each in accountings().values()}
    for claim in judged:
        told = [each.title.partition("; paid for: ")[2] for each in claim.findings]
        priced = set(told) if claim.published.priced else set()
        assert priced <= titles, claim.published.id
        assert claim.published.priced == any(told), claim.published.id
    (cost,) = (claim for claim in judged if claim.published.id == "cost-headline")
    for name in {each.accounting for each in set_ups() if each.accounting}:
        title = accountings()[name].title
        assert any(each.title.endswith(title) for each in cost.findings), title


def test_no_number_of_an_assumption_is_written_by_hand() -> None:
    """Those that a row shows are of its record; H100 and E2E are names."""
    titles = [each.title for each in accountings().values()]
    for told in (*titles, *(text for each in set_ups() for text in (each.title, *each.assumes))):
        assert not re.findall(r"\d", re.sub("H[12]00|E2E", "", told)), told
    (evaluation,) = (each for each in set_ups() if each.name == "evaluation")
    limits = open_run(ROOT / REFERENCE / "evaluation").experiment["deployment"]["limits"]
    assert f"keep-alive {limits['keep_alive_s']:g} s" in evaluation.assumed(ROOT / REFERENCE)
    (by_duration,) = (each for each in set_ups() if each.name == "by-duration")
    assert by_duration.at == limits["keep_alive_s"], "the ablation is told at the evaluation's"


def test_the_regime_presumed_of_the_paper_is_tested_beside_ours(judged: list[Claim]) -> None:
    """The two records differ in the regime and in nothing else."""
    (claim,) = (claim for claim in judged if claim.published.id == "throughput-tokens")
    ours, presumed = "throughput-uniform", "throughput-completion"
    assert {ours, presumed} < {each.set_up for each in claim.findings}
    rows = {each.set_up: each.title for each in claim.findings}
    assert "presumed of the paper" in rows[presumed]
    told = {}
    for name in (ours, presumed):
        study = studies()[name]
        with study.at(study.values[0]) as experiment:
            told[name] = experiment.model_dump(exclude={"name", "summary", "workloads"})
        told[name] |= study.model_dump(exclude={"name", "experiment", "systems"})
    regimes = {name: [each.pop("options") for each in told[name]["systems"]] for name in told}
    assert regimes == {ours: [{}] * 3, presumed: [{"regime": "run-to-completion"}] * 3}
    assert told[ours] == told[presumed]


def test_rates_within_the_window_are_those_of_the_record(judged: list[Claim]) -> None:
    for name in ("throughput-uniform", "throughput-completion"):
        rows = read_kept(ROOT / REFERENCE / name / "numbers.parquet").to_pandas()
        rates = rows[rows["metric"] == "window_tokens_per_s"].groupby("system")["value"].max()
        lead = rates["serverless-lora"] / rates.drop("serverless-lora").max()
        assert found_in(judged, "throughput-tokens", name).values == (pytest.approx(lead),)


@pytest.mark.parametrize(
    ("set_up", "baselines"),
    [
        ("live-throughput", ("serverless-llm", "instainfer")),
        ("live-throughput-kept-up", ("dlora", "vllm")),
    ],
)
def test_a_live_peak_is_the_highest_rate_of_any_load(
    judged: list[Claim], set_up: str, baselines: tuple[str, ...]
) -> None:
    peaks: dict[str, float] = {}
    for cell in open_run(ROOT / REFERENCE / "throughput-h200").cells():
        answers = cell.table("requests").to_pandas().query("status == 'ok'")
        rate = answers["output_tokens"].sum() / (answers["end_ns"].max() / 1e9)
        peaks[cell.system] = max(peaks.get(cell.system, 0.0), rate)
    ours = found_in(judged, "throughput-tokens", set_up)
    lead = peaks["serverless-lora"] / max(peaks[each] for each in baselines)
    assert ours.values == (pytest.approx(lead, rel=1e-3),)
    assert (ours.mode, ours.on) == ("live", "2 × NVIDIA H200")


def found_in(judged: list[Claim], id_: str, set_up: str) -> Ours:
    (claim,) = (claim for claim in judged if claim.published.id == id_)
    (finding,) = (each for each in claim.findings if each.set_up == set_up)
    return finding.ours


def test_live_results_are_those_of_the_record(judged: list[Claim]) -> None:
    """Under the load where they are best: TTFT, cost, and the seconds of all calls."""
    cells = open_run(ROOT / REFERENCE / "opponents-h200").cells()
    (ours, others) = ("serverless-lora", ("instainfer", "serverless-llm"))

    def ratio(of: Any, *systems: str) -> float:
        found = {(cell.workload, cell.system): of(cell) for cell in cells}
        loads = {load for load, _ in found}
        return max(found[load, system] / found[load, ours] for load in loads for system in systems)

    def ttft(cell: Cell) -> Any:
        return cell.requests["ttft_from_schedule_s"].mean()

    usd = ratio(lambda cell: cell.summary["cost_usd"], *others)
    busy = ratio(lambda cell: cell.requests["e2e_s"].sum(), *others)
    wanted = {
        ("ttft-serverlessllm", "live"): ratio(ttft, "serverless-llm"),
        ("ttft-instainfer", "live"): ratio(ttft, "instainfer"),
        ("ttft-headline", "live"): 1 - 1 / ratio(ttft, *others),
        ("cost-headline", "live"): 1 - 1 / usd,
        ("cost-headline", "live-by-duration"): 1 - 1 / busy,
    }
    for (id_, set_up), value in wanted.items():
        told = found_in(judged, id_, set_up)
        assert told.values == (pytest.approx(value, rel=1e-2),), id_
        if id_.startswith("ttft"):
            assert told.ci95 is not None
            assert told.ci95[0] < value < told.ci95[1]


def test_costs_under_an_accounting_are_those_of_the_record(judged: list[Claim]) -> None:
    rows = read_kept(ROOT / REFERENCE / "cost" / "numbers.parquet").to_pandas()
    value = rows.set_index(["metric", "at", "workload", "system"])["value"]
    for name, systems in (("by-card", BASELINES), ("by-card-kept-up", ("multi-lora", "dlora"))):
        usd = value["cost_usd.by-card"]
        gains = [
            1 - usd[at, workload, OURS] / usd[at, workload, system]
            for at, workload, system in usd.index if system in systems
        ]  # fmt: skip
        assert found_in(judged, "cost-headline", name).values == (pytest.approx(max(gains)),)
    told = found_in(judged, "ablation-full", "by-duration")
    at = (60, "azure-normal8", OURS)
    metrics = ("ttft_from_schedule_s.mean", "e2e_s.mean", "cost_usd.by-duration")
    assert told.values == tuple(value[metric][at] for metric in metrics)


def test_the_table_of_accountings_is_the_records() -> None:
    (block,) = (block for block in blocks() if block.name == "accountings")
    lines = accountings_table(block, ROOT / REFERENCE).splitlines()
    rows = read_kept(ROOT / REFERENCE / "cost" / "numbers.parquet").to_pandas()
    value = rows.set_index(["metric", "at", "system", "workload"])["value"].sort_index()
    usd = value["cost_usd.by-duration", 600]
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[1:3] == ["600", f"{usd[OURS, 'azure-normal8']:.2f}"]
    for system, cell in zip(block.systems, cells[3:], strict=True):
        gain = max(1 - usd[OURS, load] / usd[system, load] for load in usd[OURS].index)
        assert cell.startswith(f"{100 * gain:.0f} % (".replace("-", "−")), system
    assert len(lines) == 2 + len(studies()["cost"].accountings) * 3


def test_the_command_gives_every_claim_to_machines(
    judged: list[Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process; test_installed.py has the command judge."""
    monkeypatch.setattr("harness.claims.claims", lambda place: judged)
    document = json.loads(typed("slbench claims --json"))
    assert document == {"claims": [json.loads(json.dumps(c.as_dict())) for c in judged]}


def _claim(rule: Any, *values: float) -> Published:
    return Published(id="x", claim="x", paper="x", values=values, rule=rule, stands="a: x")


def _ours(*values: float) -> Ours:
    return Ours(values, "", "live", "")


@pytest.mark.parametrize(
    ("rule", "theirs", "mine", "verdict"),
    [
        ("gain", [0.8], [0.81], "holds"),
        ("gain", [0.8], [0.1], "direction-holds"),
        ("gain", [0.8], [-0.1], "does-not-hold"),
        ("speed-up", [2.0, 3.0], [2.0, 3.1], "holds"),
        ("speed-up", [2.0, 3.0], [2.0, 1.1], "direction-holds"),
        ("speed-up", [2.0, 3.0], [2.0, 0.9], "does-not-hold"),
        ("penalty", [0.12], [0.0], "holds"),
        ("penalty", [0.12], [0.2], "direction-holds"),
        ("level", [10.0], [10.9], "holds"),
        ("level", [10.0], [11.1], "does-not-hold"),
        ("order", [1.0, 2.0, 3.0], [1.05, 2.0, 3.0], "holds"),
        ("order", [1.0, 2.0, 3.0], [0.1, 5.0, 6.0], "direction-holds"),
        ("order", [1.0, 2.0, 3.0], [0.1, 6.0, 5.0], "does-not-hold"),
        ("order", [1.0, 2.0, 3.0], [0.1, 5.0, 5.0], "does-not-hold"),
        ("limit", [6.0], [5.9], "holds"),
        ("limit", [6.0], [6.0], "does-not-hold"),
        ("share", [1.0], [1.0], "holds"),
        ("share", [1.0], [0.6], "direction-holds"),
        ("share", [1.0], [0.5], "does-not-hold"),
    ],
)
def test_a_verdict_follows_from_the_numbers(
    rule: str, theirs: list[float], mine: list[float], verdict: str
) -> None:
    assert judge(_claim(rule, *theirs), _ours(*mine)) == verdict


def test_an_interval_counts_against_a_claim_and_never_for_it() -> None:
    """A claim holds within a tenth of the published value. A wide interval never makes it hold,
    and an interval that includes "no effect" also removes the direction."""
    claim = _claim("speed-up", 2.0)
    assert judge(claim, replace(_ours(1.95), ci95=(1.7, 2.1))) == "holds"
    assert judge(claim, replace(_ours(1.8), ci95=(1.1, 9.0))) == "direction-holds"
    assert judge(claim, replace(_ours(1.8), ci95=(0.9, 9.0))) == "does-not-hold"
    assert judge(claim, replace(_ours(1.95), ci95=(0.9, 9.0))) == "does-not-hold"


def test_an_interval_turns_with_its_ratio() -> None:
    best = Best(4.0, (2.0, 5.0), "somewhere")
    assert (best.inverse().ratio, best.inverse().ci95) == (0.25, (0.2, 0.5))
    assert (best.reduction().ratio, best.reduction().ci95) == (0.75, (0.5, 0.8))
    assert (best.increase().ratio, best.increase().ci95) == (3.0, (1.0, 4.0))
    assert best.inverse().inverse() == best


_CITED = ("figure", "paper", "data sheet", "Amazon EC2")


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_number_was_measured_or_cites_its_source(name: str) -> None:
    """The source names, if measured: what was measured and with what; if published: the
    publication; if derived: the numbers it was computed from."""
    for key, number in load_profile(name):
        if not isinstance(number, Number):
            continue
        words = number.source.split()
        assert len(words) >= 4, f"{name}.{key}: {number.source!r} names no source"
        if number.kind == "published":
            assert any(c in number.source for c in _CITED), f"{name}.{key} cites no publication"
        if number.kind == "derived" and number.value:
            assert any(c.isdigit() for c in number.source), f"{name}.{key} derives from no number"


def test_a_folder_that_lacks_some_records_is_refused_with_their_names(tmp_path: Path) -> None:
    there, *others = dict.fromkeys(each.record for each in set_ups())
    (tmp_path / there).symlink_to(ROOT / REFERENCE / there)
    with pytest.raises(HarnessError) as refused:
        claims(tmp_path)
    assert str(refused.value).startswith(f"--from {tmp_path}: lacks the records {others[0]}, ")
    assert there not in str(refused.value).split(", ")
