"""The same usage costs differently under each accounting, and each counts what its name says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost import Intervals, Usage, accountings, instance_sheet, merge, price_sheet
from harness.cost.accounting import Priced
from harness.cost.accounts.usage import overlap_s
from harness.errors import HarnessError
from harness.places import REFERENCE
from harness.records import new_run, open_run
from tests.harness.made import cut_tables, made_cell, made_run

S = 1_000_000_000
ACTIVE, IDLE = 72.0 * 2e-5, 12.0 * 2e-5
HELD = {"cuda:0": Intervals(np.array([0, 60 * S]), np.array([40 * S, 100 * S]))}
BUSY = {"cuda:0": Intervals(np.array([10 * S]), np.array([30 * S]))}
USAGE = Usage({"gpu_memory_active": 100.0}, HELD, BUSY, calls=2, calls_s=25.0, rented=False)


def test_each_accounting_counts_what_it_says() -> None:
    usd = {name: each.usd(USAGE) for name, each in accountings().items()}
    assert usd["by-share"] == pytest.approx(100 * 1.5 * 2e-5)
    assert usd["by-card"] == pytest.approx(20 * ACTIVE + 60 * IDLE)
    assert usd["by-card-hour"] == pytest.approx(80 / 3600 * 30.13118 / 8)
    assert usd["by-share-all"] == usd["by-share"]
    assert usd["by-share-tesla"] == pytest.approx(100 * 2.1 * 2e-5)
    assert usd["by-hour-all"] == pytest.approx(80 / 3600 * 55.04 / 8)
    assert usd["by-duration"] == pytest.approx(25 * ACTIVE + 2 * 0.0075 * 2e-5)


def test_a_system_that_is_kept_up_pays_for_its_cards_under_every_accounting_but_one() -> None:
    hours = 80 / 3600
    for name, each in accountings().items():
        if each.kept_up.account == "measured":
            continue
        price = instance_sheet(each.kept_up.sheet)
        kept_up = replace(USAGE, billed={"instance_hours": hours / price.devices}, rented=True)
        usd = hours * price.usd_per_hour / price.devices
        assert each.usd(kept_up) == pytest.approx(usd), name


def test_what_keeps_no_ledger_pays_for_the_memory_that_was_measured() -> None:
    held = {"cuda:0": 10.0, "cuda:1": 2.0, "host": 4.0}
    usage = replace(USAGE, rented=True, duration_s=50.0, in_flight_s=20.0, measured_gb=held)
    cu = 12 * (20 * 1.5 + 30 * 0.25) + 4 * 50 * 0.15 + 20 * 1.0 + 2 * 0.0075
    assert accountings()["by-share-all"].usd(usage) == pytest.approx(cu * 2e-5)
    with pytest.raises(HarnessError, match="no device memory was measured"):
        accountings()["by-share-all"].usd(replace(usage, measured_gb={"host": 4.0}))
    with pytest.raises(HarnessError, match="no device memory was measured"):
        accountings()["by-share-all"].usd(replace(usage, measured_gb={"host-0": 4.0}))


def test_the_sheets_of_whole_cards_are_the_arithmetic_that_they_name() -> None:
    memory, card = price_sheet("alibaba-fc"), price_sheet("alibaba-fc-card", {"card_active"})
    calls = price_sheet("alibaba-fc-duration", {"call_duration"})
    assert card.usd("card_active") == pytest.approx(48 * memory.usd("gpu_memory_active"))
    assert card.usd("card_idle") == pytest.approx(48 * memory.usd("gpu_memory_idle"))
    assert calls.usd("call_duration") == card.usd("card_active")
    hour = instance_sheet("alibaba-fc-card-hour").usd_per_hour
    assert hour == pytest.approx(3600 * card.usd("card_active"))


def test_usage_is_what_the_records_of_a_cell_have(tmp_path: Path) -> None:
    """Two requests of 900 and 300 ms were sent; both were in service for 0.7 s together."""
    (cell,) = made_run(tmp_path, ("serverless-lora",)).cells()
    usage = Usage.of(cell)
    requests = cell.table("requests").to_pandas()
    lasted = (requests["last_token_ns"] - requests["sent_ns"]).dropna()
    sent = requests["sent_ns"].notna()
    failed = requests[sent & requests["last_token_ns"].isna()]
    waited = (failed["end_ns"] - failed["sent_ns"]).sum()
    assert usage.calls == sent.sum()
    assert usage.calls_s == pytest.approx((lasted.sum() + waited) / 1e9)
    (held,) = usage.held.values()
    assert held.start_ns.tolist() == [2_000_000]
    assert held.end_ns.tolist() == [round(cell.summary["duration_s"] * S)]
    assert not usage.rented
    assert accountings()["by-share"].usd(usage) == pytest.approx(cell.summary["cost_usd"])


def test_a_request_that_failed_after_its_first_token_is_in_flight_to_its_end(
    tmp_path: Path,
) -> None:
    (whole,) = made_run(tmp_path, ("serverless-lora",)).cells()
    cut = made_cell(new_run({"name": "cut"}, tmp_path / "cut"), "serverless-lora", cut_tables())
    assert Usage.of(cut).calls_s == Usage.of(whole).calls_s
    assert Usage.of(cut).in_flight_s == Usage.of(whole).in_flight_s


@pytest.mark.filterwarnings("error")
def test_a_request_whose_end_is_not_known_is_not_in_flight(tmp_path: Path) -> None:
    tables = cut_tables()
    requests = tables["requests"]
    for name in ("last_token_ns", "end_ns"):
        known = requests[name].to_pylist()[:-1]
        column = pa.array([*known, None], requests[name].type)
        requests = requests.set_column(requests.column_names.index(name), name, column)
    run = new_run({"name": "open"}, tmp_path)
    usage = Usage.of(made_cell(run, "serverless-lora", tables | {"requests": requests}))
    assert usage.calls == requests["sent_ns"].drop_null().length()
    assert 0 < usage.in_flight_s <= usage.calls_s


def test_by_share_is_the_bill_of_the_run_and_servers_are_kept_up() -> None:
    cells = open_run(Path(__file__).parents[2] / REFERENCE / "serving").cells()
    found = {c.system: (c, Usage.of(c)) for c in cells if c.workload == "azure-normal8"}
    for name in ("serverless-lora", "multi-lora"):
        cell, usage = found[name]
        assert usage.rented == (name == "multi-lora")
        bill = cell.summary["cost_usd"]
        assert accountings()["by-share"].usd(usage) == pytest.approx(bill, rel=1e-3), name


intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5)


@given(some=intervals, others=intervals)
def test_an_overlap_is_counted_second_by_second(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    def merged(pairs: list[tuple[int, int]]) -> Intervals:
        ends = np.array(pairs, np.int64).reshape(-1, 2) * S
        return merge(Intervals(ends.min(axis=1, initial=40 * S), ends.max(axis=1, initial=0)))

    def covered(pairs: list[tuple[int, int]]) -> set[int]:
        return {second for pair in pairs for second in range(min(pair), max(pair))}

    both = len(covered(some) & covered(others))
    assert overlap_s(merged(some), merged(others)) == pytest.approx(both)


def test_a_sheet_without_a_price_and_an_unknown_account_are_refused_in_one_line() -> None:
    with pytest.raises(HarnessError, match="no price of calls, gpu_memory_active"):
        price_sheet("alibaba-fc-card")
    with pytest.raises(ValueError, match="account 'barter' is unknown; known: card-hours"):
        Priced(account="barter", sheet="alibaba-fc")
