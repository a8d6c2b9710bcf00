"""What a sweep keeps beside the metrics: rates within a window, and costs under accountings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.cost import Usage, accountings
from harness.places import REFERENCE
from harness.records.files import read_kept
from harness.reference import studies
from harness.reference.accounted import accounted
from harness.reference.windowed import answers_within, tokens_within, windowed
from tests.harness.made import cut_tables, made_cell, made_run, system_trace, tables

S = 1_000_000_000
RECORDS = Path(__file__).parents[2] / REFERENCE


def answers(*rows: tuple[str, float, float, int]) -> pd.DataFrame:
    """Make requests of (status, first token in s, last token in s, tokens)."""
    frame = pd.DataFrame(
        rows, columns=["status", "first_token_ns", "last_token_ns", "output_tokens"]
    )
    return frame.assign(
        first_token_ns=frame["first_token_ns"] * S, last_token_ns=frame["last_token_ns"] * S
    )


@pytest.mark.parametrize(
    ("row", "tokens", "complete"),
    [
        (("ok", 1.0, 5.0, 5), 5, 1),
        (("ok", 8.0, 12.0, 5), 3, 0),
        (("ok", 10.5, 12.0, 4), 0, 0),
        (("ok", 9.0, 9.0, 1), 1, 1),
        (("http_500", 1.0, 5.0, 5), 0, 0),
    ],
)
def test_a_window_counts_what_was_there_when_it_ended(
    row: tuple[str, float, float, int], tokens: int, complete: int
) -> None:
    """An answer of 5 tokens from 8 to 12 s has 3 of them within 10 s."""
    assert tokens_within(answers(row), 10) == tokens
    assert answers_within(answers(row), 10) == complete


def test_rates_within_a_window_are_kept_only_where_a_study_has_one(tmp_path: Path) -> None:
    (cell,) = made_run(tmp_path, ("serverless-lora",)).cells()
    assert list(windowed("s", 1, [cell], None)) == []
    found = {row["metric"]: row["value"] for row in windowed("s", 1, [cell], 2.0)}
    ok = cell.requests[cell.requests["status"] == "ok"]
    assert found["window_requests_per_s"] == len(ok) / 2
    assert found["window_tokens_per_s"] == ok["output_tokens"].sum() / 2


def test_costs_under_accountings_are_those_of_the_cells(tmp_path: Path) -> None:
    run = made_run(tmp_path, ("serverless-lora",))
    told = system_trace()
    twice = tuple(replace(step, bytes=2 * step.bytes) for step in told.memory)
    made_cell(run, "serverless-llm", tables(replace(told, memory=twice)))
    cells = run.cells()
    chosen = [accountings()[name] for name in ("by-share", "by-duration")]
    rows = list(accounted("s", 1, cells, "serverless-lora", chosen))
    value = {(row["system"], row["metric"]): row["value"] for row in rows}
    for cell in cells:
        for each in chosen:
            assert value[cell.system, f"cost_usd.{each.name}"] == each.usd(Usage.of(cell))
    ratio = (
        value["serverless-llm", "cost_usd.by-share"] / value["serverless-lora", "cost_usd.by-share"]
    )
    assert ratio > 1.1, "it holds twice as much for the same calls"
    assert {key: value[key] for key in value if key[1].endswith(".ratio")} == {
        ("serverless-llm", "cost_usd.by-share.ratio"): pytest.approx(ratio),
        ("serverless-llm", "cost_effectiveness.by-share.ratio"): pytest.approx(1 / ratio),
        ("serverless-llm", "cost_usd.by-duration.ratio"): pytest.approx(1),
        ("serverless-llm", "cost_effectiveness.by-duration.ratio"): pytest.approx(1),
    }
    assert list(accounted("s", 1, cells, "serverless-lora", [])) == []


def test_a_cost_is_worth_the_latency_of_what_was_answered(tmp_path: Path) -> None:
    run = made_run(tmp_path, ("serverless-lora",))
    made_cell(run, "serverless-llm", cut_tables())
    rows = accounted("s", 1, run.cells(), "serverless-lora", [accountings()["by-share"]])
    value = {(row["system"], row["metric"]): row["value"] for row in rows}
    assert value["serverless-llm", "cost_effectiveness.by-share.ratio"] == 1


def test_the_record_of_costs_agrees_with_itself() -> None:
    """By share is the bill where the system starts when it is called; a ratio is of its means."""
    study, record = studies()["cost"], RECORDS / "cost" / "numbers.parquet"
    rows = read_kept(record).to_pandas()
    value = rows.set_index(["at", "workload", "system", "metric"])["value"].sort_index()
    assert set(rows["at"]) == set(study.values)
    for at, workload, system in {key[:3] for key in value.index}:
        own, base = value[at, workload, system], value[at, workload, "serverless-lora"]
        if system.startswith(("serverless", "instainfer")):
            assert own["cost_usd.by-share"] == pytest.approx(own["cost_usd"], rel=1e-9)
        for name in study.accountings if system != "serverless-lora" else ():
            metric = f"cost_usd.{name}"
            assert own[f"{metric}.ratio"] == pytest.approx(own[metric] / base[metric])
