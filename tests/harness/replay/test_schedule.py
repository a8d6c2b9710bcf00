"""The schedule: checked, hashed by its values, shared out without a trace."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.replay import Schedule, build_schedule

requests = st.lists(
    st.tuples(
        st.integers(0, 10**12),
        st.sampled_from(["a", "b", "fonction-é"]),
        st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
        st.integers(1, 500),
    ),
    max_size=30,
)


def schedule(rows: list[tuple[int, str, list[int], int]]) -> Schedule:
    return Schedule.from_columns(
        request_id=range(len(rows)),
        scheduled_ns=[row[0] for row in rows],
        function_id=[row[1] for row in rows],
        prompt_ids=[row[2] for row in rows],
        output_tokens=[row[3] for row in rows],
    )


@given(requests, st.sampled_from([1, 2, 3, 8, 32]))
def test_shares_are_disjoint_and_together_the_whole(rows: Any, workers: int) -> None:
    whole = schedule(rows)
    tables = [whole.share(worker, workers).table for worker in range(workers)]
    keys = [("scheduled_ns", "ascending"), ("request_id", "ascending")]
    together = Schedule(pa.concat_tables(tables).sort_by(keys))
    assert together.sha256 == whole.sha256


@given(requests)
def test_the_digest_is_of_the_values_alone(rows: Any) -> None:
    whole = schedule(rows)
    pieces = [whole.table.slice(row, 1) for row in range(len(whole))]
    if pieces:
        assert Schedule(pa.concat_tables(pieces)).sha256 == whole.sha256


@given(requests.filter(bool), st.data())
def test_any_other_value_gives_another_digest(rows: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    time, function, prompt, tokens = rows[at]
    changed = data.draw(
        st.sampled_from(
            [
                (time + 1, function, prompt, tokens),
                (time, function + "x", prompt, tokens),
                (time, function, [*prompt, 0], tokens),
                (time, function, prompt, tokens + 1),
            ]
        )
    )
    assert schedule([*rows[:at], changed, *rows[at + 1 :]]).sha256 != schedule(rows).sha256


def test_a_token_moved_from_one_prompt_to_the_next_is_another_schedule() -> None:
    one = schedule([(0, "a", [1, 2], 1), (1, "a", [3], 1)])
    other = schedule([(0, "a", [1], 1), (1, "a", [2, 3], 1)])
    assert one.sha256 != other.sha256


def test_the_digest_of_today_is_the_digest_of_tomorrow() -> None:
    known = schedule([(5, "f", [1, 2, 3], 7), (9, "g", [4], 1)])
    assert known.sha256 == "36349a14aca58ce7b21bcc3a6b03e07473745d8b1f0637d2ded6a64e3c411df7"


def test_it_survives_the_disk(tmp_path: Path) -> None:
    whole = schedule([(5, "f", [1, 2, 3], 7), (9, "g", [4], 1)])
    whole.write(tmp_path / "schedule.parquet")
    assert Schedule.read(tmp_path / "schedule.parquet").sha256 == whole.sha256


def test_a_file_that_is_no_schedule_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "schedule.parquet"
    path.write_text("not parquet")
    with pytest.raises(HarnessError, match=r"schedule\.parquet: not a schedule"):
        Schedule.read(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"request_id": [1, 1]}, "request_id must be unique"),
        ({"scheduled_ns": [-1, 2]}, "not negative"),
        ({"output_tokens": [0, 1]}, "at least one token in output_tokens"),
        ({"prompt_ids": [[], [1]]}, "at least one token in prompt_ids"),
        ({"function_id": [None, "f"]}, "function_id has 1 missing"),
    ],
)
def test_malformed_schedules_are_refused(change: dict[str, Any], complaint: str) -> None:
    columns = {
        "request_id": [1, 2],
        "scheduled_ns": [0, 1],
        "function_id": ["f", "f"],
        "prompt_ids": [[1], [1]],
        "output_tokens": [1, 1],
    }
    with pytest.raises(HarnessError, match=complaint):
        Schedule.from_columns(**{**columns, **change})


def workload(functions: list[str]) -> Any:
    """One request a second and function; ids do not depend on which functions there are."""
    rows = [(10 * t + ord(f), t * 10**9 + 17, f, 5 + t, 3) for t in range(4) for f in functions]
    names = ("id", "arrival_ns", "function", "prompt_tokens", "output_tokens")
    return SimpleNamespace(
        requests=pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    )


def test_a_workload_becomes_its_arrivals_with_prompts_of_its_lengths() -> None:
    pytest.importorskip("workloads.prompts")
    built = build_schedule(workload(["a", "b"]), seed=3, vocab_size=100).table
    assert built["scheduled_ns"].to_pylist() == sorted(
        t * 10**9 + 17 for t in range(4) for _ in "ab"
    )
    lengths = pa.compute.list_value_length(built["prompt_ids"]).to_pylist()
    assert lengths == [5 + t for t in range(4) for _ in "ab"]
    assert np.min(pa.compute.list_flatten(built["prompt_ids"])) >= 0
    assert np.max(pa.compute.list_flatten(built["prompt_ids"])) < 100


def test_another_function_changes_no_prompt_of_the_first() -> None:
    pytest.importorskip("workloads.prompts")
    alone = build_schedule(workload(["a"]), seed=3, vocab_size=100).table.to_pylist()
    both = build_schedule(workload(["a", "b"]), seed=3, vocab_size=100).table.to_pylist()
    assert [row for row in both if row["function_id"] == "a"] == alone
