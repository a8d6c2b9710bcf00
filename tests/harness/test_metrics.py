"""Every metric matches its page, on records that are small enough to compute by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.errors import HarnessError
from harness.metrics import METRICS, Frame, metric, summary
from harness.metrics.page import page
from harness.metrics.resources import _all_devices

from .made import END, MS, tables, unseen_tables
from .many import many_requests, spans_of

DURATION_S = END / 1e9
ROOT = Path(__file__).parents[2]


def frame(**changes: pa.Table) -> Frame:
    return Frame({**tables(), **changes}, DURATION_S)


def value(name: str, part: str = "value", of: Frame | None = None) -> Any:
    seen = metric(name).observe(of or frame())
    return None if seen is None else seen.estimates[part].value


def with_column(name: str, values: Any) -> pa.Table:
    table = tables()["requests"]
    if name not in table.column_names:
        return table.append_column(name, values)
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, pa.array(values, table.schema.field(at).type))


def test_a_request_is_timed_from_its_send_and_from_its_schedule() -> None:
    assert value("ttft_s", "mean") == pytest.approx((0.700 + 0.100) / 2)
    assert value("ttft_from_schedule_s", "mean") == pytest.approx((0.701 + 0.100) / 2)
    assert value("e2e_s", "mean") == pytest.approx((0.900 + 0.300) / 2)
    assert value("e2e_from_schedule_s", "mean") == pytest.approx((0.901 + 0.300) / 2)
    assert value("lateness_s", "mean") == pytest.approx((0.001 + 0.0) / 2)


def test_tokens_are_those_the_server_counted() -> None:
    assert value("tpot_s", "mean") == pytest.approx(0.200 / 4)
    assert value("normalised_latency_s", "mean") == pytest.approx((0.900 / 5 + 0.300 / 5) / 2)
    assert value("output_tokens_per_s") == pytest.approx(10 / DURATION_S)
    assert value("total_tokens_per_s") == pytest.approx(26 / DURATION_S)


def test_an_answer_of_one_token_has_no_time_per_further_token() -> None:
    one = frame(requests=with_column("output_tokens", [1, 5, None]))
    assert metric("tpot_s").observe(one).estimates["mean"].n == 1  # type: ignore[union-attr]


def test_gaps_between_tokens_are_counted_by_gap_and_only_of_answers() -> None:
    gaps = pa.array([[10 * MS, 30 * MS], [20 * MS], [500 * MS]], pa.list_(pa.int64()))
    seen = metric("itl_s").observe(frame(requests=with_column("itl_ns", gaps)))
    assert seen is not None
    assert seen.estimates["mean"].n == 3
    assert seen.estimates["mean"].value == pytest.approx(0.020)


def test_records_without_gaps_have_no_inter_token_latency() -> None:
    assert metric("itl_s").observe(frame()) is None
    assert summary(tables(), DURATION_S)["itl_s"] is None


def test_failures_stay_in_the_denominator() -> None:
    assert value("success_share") == pytest.approx(2 / 3)
    # One of the three answered within 500 ms of its scheduled time.
    assert value("slo_attainment") == pytest.approx(1 / 3)
    assert value("slo_violation_rate") == pytest.approx(2 / 3)
    assert value("goodput_rps") == pytest.approx(1 / DURATION_S)
    assert value("requests_per_s") == pytest.approx(2 / DURATION_S)


def test_what_a_limit_rejected_is_told_from_other_failures() -> None:
    assert value("rejected_share") == 0.0, "one failed with http_5xx"
    rejected = frame(requests=with_column("status", ["http_429", "ok", "http_429"]))
    assert value("rejected_share", of=rejected) == pytest.approx(2 / 3)
    assert summary(tables(), DURATION_S)["rejected_share"] == 0.0


def test_objectives_of_tpot_and_e2e_count_alone_and_together() -> None:
    assert value("slo_tpot_attainment") is None, "no request has one"
    assert value("slo_e2e_attainment") is None
    # The two answers took 50 ms per token; 901 and 300 ms in all, from their scheduled times.
    strict = frame(
        requests=with_column("slo_tpot_ns", pa.array([51 * MS, 49 * MS, 51 * MS]))
        .drop_columns("slo_e2e_ns")
        .append_column("slo_e2e_ns", pa.array([900 * MS, 301 * MS, None]))
    )
    assert value("slo_ttft_attainment", of=strict) == pytest.approx(1 / 3)
    assert value("slo_tpot_attainment", of=strict) == pytest.approx(1 / 3)
    assert value("slo_e2e_attainment", of=strict) == pytest.approx(1 / 3)
    assert value("slo_attainment", of=strict) == 0.0
    assert value("slo_violation_rate", of=strict) == 1.0


def test_one_token_meets_an_objective_of_tpot_and_an_unknown_number_is_not_judged() -> None:
    limited = with_column("slo_tpot_ns", pa.array([49 * MS] * 3))
    at = limited.schema.get_field_index("output_tokens")

    def counted(*tokens: int | None) -> Frame:
        column = pa.array(tokens, limited.schema.field(at).type)
        return frame(requests=limited.set_column(at, "output_tokens", column))

    assert value("slo_tpot_attainment", of=counted(1, 5, None)) == pytest.approx(1 / 3)
    unknown = counted(None, 5, None)
    for name in ("slo_tpot_attainment", "slo_attainment", "goodput_rps", "goodput_per_usd"):
        assert value(name, of=unknown) is None
    assert value("slo_ttft_attainment", of=unknown) == pytest.approx(1 / 3)


def test_start_types_are_shares_of_all_requests_and_have_latencies_of_their_own() -> None:
    assert [value(f"{t}_share") for t in ("cold", "warm", "hot")] == pytest.approx(
        [1 / 3, 0, 1 / 3]
    )
    assert value("ttft_by_start_type.cold", "mean") == pytest.approx(0.700)
    assert value("ttft_by_start_type.warm", "mean") is None
    assert value("ttft_cold_s.with_imports", "mean") == pytest.approx(0.700)
    assert value("ttft_cold_s.without_imports", "mean") is None


def test_queueing_is_the_stage_of_that_name_and_zero_for_those_who_did_not_wait() -> None:
    assert value("queueing_s", "mean") == pytest.approx((0.0 + 0.001) / 2)


def test_memory_is_the_ledger_integrated() -> None:
    held = 100e6 * 1.998 + 10e6 * 1.498
    assert value("memory_gb_s") == pytest.approx(held / 1e9, rel=1e-6)
    assert value("memory_mean_gb") == pytest.approx(held / 1e9 / DURATION_S, rel=1e-6)
    assert value("memory_peak_bytes") == 110_000_000
    assert value("measured_pss_bytes.peak") is None


def test_host_memory_is_no_device_memory() -> None:
    held = {"cuda:0": {"all": 2.0}, "host": {"all": 5.0}, "host-1": {"all": 7.0}}
    total = _all_devices(held)
    assert total is not None
    assert total.cells == (2.0,)
    assert _all_devices({"host": {"all": 5.0}}) is None, "unknown, not zero"


def test_money_buys_answers() -> None:
    cost = sum(tables()["billing"]["usd"].to_pylist())
    assert value("cost_usd") == pytest.approx(cost)
    assert value("usd_per_1k_requests") == pytest.approx(cost / 3 * 1000)
    assert value("cost_effectiveness") == pytest.approx(1 / (0.600 * cost))
    assert value("tokens_per_usd") == pytest.approx(10 / cost)
    assert value("goodput_per_usd") == pytest.approx(1 / cost)


def test_what_is_not_billed_has_no_cost_and_no_value_for_money() -> None:
    unseen = frame(billing=tables()["billing"].slice(0, 0))
    names = ("cost_usd", "usd_per_1k_requests", "cost_effectiveness", "tokens_per_usd")
    for name in (*names, "goodput_per_usd"):
        assert value(name, of=unseen) is None


UNSEEN = (
    "cold_share", "warm_share", "hot_share", "memory_gb_s", "memory_mean_gb", "memory_peak_bytes",
    "measured_pss_bytes.peak", "cost_usd", "queueing_s", "ttft_by_start_type.cold",
    "ttft_cold_s.with_imports", "ttft_cold_s.without_imports",
)  # fmt: skip


def test_what_an_endpoint_does_not_tell_is_unknown_and_not_zero() -> None:
    endpoint = Frame(unseen_tables(), DURATION_S)
    for name in UNSEEN:
        seen = metric(name).observe(endpoint)
        values = [] if seen is None else [each.value for each in seen.estimates.values()]
        assert all(each is None for each in values), name
    assert value("ttft_s", "mean", endpoint) == pytest.approx(0.4)
    assert value("success_share", of=endpoint) == pytest.approx(2 / 3)


def test_a_summary_of_an_endpoint_has_null_for_what_it_does_not_tell() -> None:
    document = summary(unseen_tables(), DURATION_S)
    unknown = ("cold", "warm", "hot", "cold_share", "memory_peak_bytes", "memory_gb_s", "cost_usd")
    assert [document[name] for name in unknown] == [None] * len(unknown)
    assert (document["n"], document["ok"]) == (3, 2)


def test_tokens_that_the_server_does_not_count_are_unknown_and_not_zero() -> None:
    uncounted = frame(requests=with_column("output_tokens", [5, None, None]))
    for name in ("output_tokens_per_s", "total_tokens_per_s", "tokens_per_usd"):
        assert value(name, of=uncounted) is None, name


def test_a_cold_request_without_stages_is_not_one_without_imports() -> None:
    silent = frame(spans=tables()["spans"].slice(0, 0))
    assert value("ttft_cold_s.without_imports", "mean", silent) is None
    assert value("ttft_by_start_type.cold", "mean", silent) == pytest.approx(0.700)


def test_a_summary_holds_every_key_of_the_contract() -> None:
    document = summary(tables(), DURATION_S)
    latencies = {"ttft_s", "ttft_from_schedule_s", "tpot_s", "e2e_s", "lateness_s"}
    rest = {
        "n", "ok", "cold", "warm", "hot", "slo_violation_rate", "goodput_rps", "requests_per_s",
        "output_tokens_per_s", "memory_peak_bytes", "memory_gb_s", "cost_usd", "cost_effectiveness",
        "usd_per_1k_requests", "ttft_by_start_type", "ttft_cold_s", "residual_s", "duration_s",
        "measured_pss_bytes",
    }  # fmt: skip
    assert latencies | rest <= set(document)
    for name in latencies:
        assert {"mean", "p50", "p90", "p95", "p99", "ci95"} <= set(document[name])
    assert document["memory_gb_s"]["cpu:0"]["weights"] == pytest.approx(0.1998)
    assert document["residual_s"]["n"] == 2


def test_every_scalar_of_a_summary_has_its_interval() -> None:
    requests = many_requests(500)
    content = {**tables(), "requests": requests, "spans": spans_of(requests)}
    document = summary(content, 10.0)
    # No request failed and the start type did not vary: such shares have intervals too. Totals
    # of one run have none.
    for name in ("goodput_rps", "slo_attainment", "cost_effectiveness", "output_tokens_per_s"):
        low, high = document["ci95"][name]
        assert low < document[name] < high
    assert document["ci95"]["cost_usd"] is None


@pytest.mark.parametrize("rows", [0, 3])
def test_a_cell_that_answered_nobody_is_summarised(rows: int) -> None:
    requests = with_column("status", ["unsent"] * 3).slice(0, rows)
    document = summary({**tables(), "requests": requests}, DURATION_S)
    assert (document["n"], document["ok"]) == (rows, 0)
    assert document["ttft_s"]["mean"] is None
    assert document["slo_violation_rate"] == (1.0 if rows else None)
    assert document["cost_effectiveness"] is None
    assert document["residual_s"] is None
    json.dumps(document, allow_nan=False)


def test_the_order_of_rows_does_not_matter() -> None:
    content = tables()
    shuffled = {**content, "requests": content["requests"].take([2, 0, 1])}
    assert summary(shuffled, DURATION_S) == summary(content, DURATION_S)


def test_names_are_unique_and_an_unknown_one_is_told_what_there_is() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    with pytest.raises(HarnessError, match=r"known: .*ttft_s"):
        metric("speed")


def test_the_page_is_what_the_code_declares() -> None:
    assert (ROOT / "METRICS.md").read_text(encoding="utf-8") == page(), (
        "METRICS.md is stale: python -m harness.metrics > METRICS.md"
    )
    for each in METRICS:
        assert f"| `{each.name}` | {each.symbol} | {each.unit} |" in page()
