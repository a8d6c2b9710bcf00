"""Rules 2, 3, 5, 8 and 18: summaries of records, and what they may not leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from harness.calibration.result import Calibration, Machine, Percentiles
from harness.metrics import Frame, summary
from harness.records.cell import derive
from harness.records.schema import REQUESTS
from harness.replay.decode import decode
from harness.replay.records import PART_SCHEMA, client_table
from harness.replay.result import Tail, overrun
from harness.replay.schedule import Schedule
from tests.harness.made import unseen_tables

from .mutant import Mutant
from .playback import START_NS, play

Joiner = Callable[[Schedule, list[pa.Table]], pa.Table]
NS_PER_MS = 1_000_000


def four_requests() -> Schedule:
    return Schedule.from_columns(
        request_id=[10, 11, 12, 13],
        scheduled_ns=[0, 1, 2, 3],
        function_id=["f"] * 4,
        prompt_ids=[[1, 2]] * 4,
        output_tokens=[6] * 4,
    )


def told(models: list[str]) -> pa.Table:
    """Return a worker's records of the first rows, each sent 0.25 ms late."""
    rows = []
    for row, model in enumerate(models):
        record = decode(play(model)[0]._replace(row=row), START_NS)
        rows.append({name: getattr(record, name) for name in PART_SCHEMA.names})
    return pa.Table.from_pylist(rows, PART_SCHEMA)


def joined(schedule: Schedule, parts: list[pa.Table]) -> pa.Table:
    return client_table(schedule, parts, "lost")


def keeps_the_intended_time(join: Joiner) -> None:
    table = join(four_requests(), [told(["ref"] * 4)])
    assert table["scheduled_ns"].to_pylist() == [0, 1, 2, 3]
    assert table["sent_ns"].to_pylist() == [250_000] * 4


def counted_from_the_send(schedule: Schedule, parts: list[pa.Table]) -> pa.Table:
    table = joined(schedule, parts)
    at = table.schema.get_field_index("scheduled_ns")
    return table.set_column(at, "scheduled_ns", table["sent_ns"])


def sent_late() -> pa.Table:
    """Make three requests with a TTFT SLO of 500 ms, answered 400 ms after their send. The client
    sent the first in time, the second 50 ms late and the third 300 ms late."""
    late = [0, 50, 300]
    columns = {
        "request_id": [0, 1, 2],
        "scheduled_ns": [0, 0, 0],
        "sent_ns": [ms * NS_PER_MS for ms in late],
        "first_token_ns": [(ms + 400) * NS_PER_MS for ms in late],
        "last_token_ns": [(ms + 600) * NS_PER_MS for ms in late],
        "output_tokens": [5, 5, 5],
        "status": ["ok"] * 3,
        "slo_ttft_ns": [500 * NS_PER_MS] * 3,
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(3, field.type)
        for field in REQUESTS
    ]
    return pa.table(arrays, schema=REQUESTS)


def counts_the_objective_from_the_intended_send(met: Callable[[pa.Table], list[bool]]) -> None:
    assert met(sent_late()) == [True, True, False]


def met_by_metrics(requests: pa.Table) -> list[bool]:
    return [bool(each) for each in Frame({"requests": requests}, 1.0).slo_met]


def met_by_records(requests: pa.Table) -> list[bool]:
    return [bool(each) for each in derive(requests)["slo_met"]]


def met_from_the_send(requests: pa.Table) -> list[bool]:
    return [bool(each) for each in derive(requests)["ttft_s"] <= 0.5]


def keeps_every_request(join: Joiner) -> None:
    table = join(four_requests(), [told(["ref", "ref.cut-2", "ref.busy-1"])])
    assert table["request_id"].to_pylist() == [10, 11, 12, 13]
    assert table["status"].to_pylist() == ["ok", "cut", "http_429", "unsent"]


def only_the_good_ones(schedule: Schedule, parts: list[pa.Table]) -> pa.Table:
    table = joined(schedule, parts)
    return table.filter(pa.compute.equal(table["status"], "ok"))


def only_those_told_of(schedule: Schedule, parts: list[pa.Table]) -> pa.Table:
    table = joined(schedule, parts)
    return table.filter(pa.compute.not_equal(table["status"], "unsent"))


def keeps_its_digits(tail: Callable[[Any], Tail]) -> None:
    delays = np.arange(1, 1001) * 1_234_567
    assert tail(delays).p99_ns == np.percentile(delays, 99)


def two_digits(delays: Any) -> Tail:
    """Round to two digits, as some tools do to limit the number of histogram keys."""
    rounded = [float(f"{delay:.1e}") for delay in delays]
    return Tail.of(rounded)


def says_when_it_is_late(verdict: Callable[[Tail, str, float], Iterator[str]]) -> None:
    assert not list(verdict(Tail(1e3, 4.9 * NS_PER_MS), "requests were sent", 0.005))
    problems = list(verdict(Tail(1e3, 5.1 * NS_PER_MS), "requests were sent", 0.005))
    assert len(problems) == 1
    assert "5.10 ms" in problems[0]


def looks_at_the_median(tail: Tail, what: str, budget_s: float) -> Iterator[str]:
    return overrun(Tail(tail.p50_ns, tail.p50_ns), what, budget_s)


def never_late(tail: Tail, what: str, budget_s: float) -> Iterator[str]:
    return iter(())


def calibration(**changes: Any) -> Calibration:
    good = Calibration(
        lateness_ms=Percentiles(0.01, 0.9, 500),
        ttft_skew_ms=Percentiles(0.1, 4.0, 500),
        cpu_us_per_event=20.0,
        max_rate_rps=None,
        max_streams=None,
        rate_rps=500,
        streams=256,
        machine=Machine(Percentiles(0.1, 0.2, 100), 0.5, 0.0),
    )
    return replace(good, **changes)


def judges_the_client(problems: Callable[[Calibration], Iterator[str]]) -> None:
    assert not list(problems(calibration()))
    for change in (
        {"ttft_skew_ms": Percentiles(0.6, 4.0, 500)},
        {"ttft_skew_ms": Percentiles(0.1, 5.1, 500)},
        {"lateness_ms": Percentiles(0.01, 1.1, 500)},
        {"cpu_us_per_event": 25.5},
    ):
        assert list(problems(calibration(**change))), change


def trusts_the_median(found: Calibration) -> Iterator[str]:
    median = Percentiles(found.ttft_skew_ms.p50, found.ttft_skew_ms.p50, found.ttft_skew_ms.n)
    return replace(found, ttft_skew_ms=median).problems()


Summary = Callable[[dict[str, pa.Table], float], dict[str, Any]]


def leaves_out_what_is_not_told(summarise: Summary) -> None:
    document = summarise(unseen_tables(), 2.0)
    assert document["cold"] is None
    assert document["cold_share"] is None


def counts_the_untold(tables: dict[str, pa.Table], duration_s: float) -> dict[str, Any]:
    cold = pa.compute.equal(tables["requests"]["start_type"], "cold").fill_null(False)
    count = int(pa.compute.sum(cold).as_py())
    share = count / len(cold)
    return {**summary(tables, duration_s), "cold": count, "cold_share": share}


EXHIBITS = [
    Mutant(2, "latency from the actual send alone", keeps_the_intended_time, joined,
            counted_from_the_send),
    Mutant(2, "SLO counted from the actual send by metrics",
            counts_the_objective_from_the_intended_send, met_by_metrics, met_from_the_send),
    Mutant(2, "SLO counted from the actual send by records",
            counts_the_objective_from_the_intended_send, met_by_records, met_from_the_send),
    Mutant(2, "lateness that invalidates nothing", says_when_it_is_late, overrun, never_late),
    Mutant(2, "lateness judged by its median", says_when_it_is_late, overrun,
            looks_at_the_median),
    Mutant(3, "percentiles of two digits", keeps_its_digits, Tail.of, two_digits),
    Mutant(5, "a client that is not asked about its tail", judges_the_client,
            Calibration.problems, trusts_the_median),
    Mutant(8, "failures left out", keeps_every_request, joined, only_the_good_ones),
    Mutant(8, "requests that were never sent left out", keeps_every_request, joined,
            only_those_told_of),
    Mutant(18, "what an endpoint does not tell counted as zero", leaves_out_what_is_not_told,
            summary, counts_the_untold),
]  # fmt: skip
