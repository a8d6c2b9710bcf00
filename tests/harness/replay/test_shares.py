"""However many workers send it, the load is the one asked for: here Poisson, whose gaps are
exponential and whose counts have variance equal to mean in windows of any length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from harness.replay import Schedule
from workloads.generators.clusters import Clusters
from workloads.statistics import dispersion
from workloads.streams import stream

PERIOD_S = 2.0
DURATION_S = 7200 * 60.0
"""Of 7,200 windows of 60 s the index of dispersion has a standard error of 1.7 %."""


@pytest.fixture(scope="module")
def whole() -> Schedule:
    process = Clusters(period_s=PERIOD_S, period_cv=1.0)
    times = process.arrivals(stream(7, "shares"), DURATION_S)
    count = len(times)
    return Schedule.from_columns(
        request_id=np.arange(count),
        scheduled_ns=(times * 1e9).astype(np.int64),
        function_id=["f"] * count,
        prompt_ids=pa.ListArray.from_arrays(
            np.arange(count + 1, dtype=np.int32), np.arange(count, dtype=np.int32)
        ),
        output_tokens=np.ones(count, np.int32),
    )


@pytest.fixture(scope="module", params=[1, 2, 8, 32])
def union(request: pytest.FixtureRequest, whole: Schedule) -> Schedule:
    tables = [whole.share(worker, request.param).table for worker in range(request.param)]
    keys = [("scheduled_ns", "ascending"), ("request_id", "ascending")]
    return Schedule(pa.concat_tables(tables).sort_by(keys))


def test_the_union_of_the_shares_is_the_schedule_to_the_byte(
    union: Schedule, whole: Schedule
) -> None:
    assert union.sha256 == whole.sha256
    assert union.table.equals(whole.table)


def test_its_gaps_are_exponential(union: Schedule) -> None:
    gaps_s = np.diff(union.table["scheduled_ns"].to_numpy()) / 1e9
    assert stats.kstest(gaps_s, "expon", args=(0, PERIOD_S)).pvalue > 0.01


@pytest.mark.parametrize("window_s", [1, 10, 60])
def test_its_counts_are_no_burstier_and_no_smoother(union: Schedule, window_s: int) -> None:
    times_s = union.table["scheduled_ns"].to_numpy() / 1e9
    assert dispersion(times_s, window_s, DURATION_S) == pytest.approx(1.0, rel=0.05)
