"""A cell in which most requests failed says why."""

from __future__ import annotations

import pyarrow as pa

from harness.cells.unanswered import unanswered

BUSY = "HTTP 503: cannot start: CUDA error: device busy"


def client(*, ok: int, busy: int, late: int) -> pa.Table:
    status = ["ok"] * ok + ["http_5xx"] * busy + ["timeout"] * late
    error = [None] * ok + [BUSY] * busy + [None] * late
    return pa.table({"status": status, "error": error})


def test_the_most_frequent_reason_is_told() -> None:
    (warning,) = unanswered(client(ok=1, busy=3, late=1))
    assert warning == f"4 of 5 requests were not answered, 3 with: {BUSY}"
    (warning,) = unanswered(client(ok=0, busy=0, late=2))
    assert warning == "2 of 2 requests were not answered, 2 with: timeout"


def test_an_overload_that_most_survive_is_no_warning() -> None:
    assert list(unanswered(client(ok=2, busy=1, late=1))) == []
    assert list(unanswered(client(ok=0, busy=0, late=0))) == []
