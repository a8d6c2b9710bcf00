"""A queue that grows is told from one that varies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from harness.capacity.queue import grows
from harness.metrics import Frame

COUNT = 400


def served(load: float, seed: int, *, burst: bool = False) -> Frame:
    """One server, a second for each request, Poisson arrivals at ``load`` per second; ``burst``:
    half of them within ten seconds in the middle."""
    gaps = np.random.default_rng(seed).exponential(1 / load, COUNT)
    if burst:
        gaps[COUNT // 4 : 3 * COUNT // 4] = 0.05
    due = np.cumsum(gaps)
    end = 0.0
    ends = [end := max(end, at) + 1.0 for at in due]
    columns = {"scheduled_ns": due * 1e9, "end_ns": np.array(ends) * 1e9}
    table = pa.table({name: values.astype(np.int64) for name, values in columns.items()})
    return Frame({"requests": table}, ends[-1])


@pytest.mark.parametrize("seed", range(5))
def test_the_queue_of_an_overloaded_server_grows(seed: int) -> None:
    assert grows(served(2.0, seed))


@pytest.mark.parametrize("seed", range(5))
def test_the_queue_of_a_server_that_keeps_up_does_not(seed: int) -> None:
    assert not grows(served(0.5, seed))


@pytest.mark.parametrize("seed", range(5))
def test_a_burst_that_is_worked_off_is_no_growing_queue(seed: int) -> None:
    assert not grows(served(0.5, seed, burst=True))


def test_few_requests_show_no_growth() -> None:
    frame = served(2.0, 0)
    few = Frame({"requests": frame.requests.slice(0, 20)}, 20.0)
    assert not grows(few)
