"""A closed loop: every user waits for its answer before it sends again, live and simulated."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError

from harness.capacity.loads import subjects
from harness.errors import HarnessError
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment import Experiment
from harness.records import Cell, new_run
from harness.reference_server import ReferenceServer
from harness.replay import Schedule, replay
from harness.replay.closed_loop import ClosedLoop
from harness.replay.user_loop import UserLoop

MS = 1_000_000
SENT = "sent_ns"


def most_at_once(rows: Sequence[dict[str, Any]]) -> int:
    """The most requests in the system at one time; an end and a send of equal time do not meet."""
    ends = [(row["end_ns"], -1) for row in rows]
    changes = sorted([*ends, *((row[SENT], 1) for row in rows)])
    count = most = 0
    for _, change in changes:
        count += change
        most = max(most, count)
    return most


def test_users_begin_one_after_another_and_share_the_workers() -> None:
    loop = ClosedLoop(users=4, ramp_s=2.0)
    assert loop.starts_ns() == [0, 500 * MS, 1000 * MS, 1500 * MS]
    assert loop.starts_ns(1, 2) == [500 * MS, 1500 * MS]


def test_a_request_is_due_when_a_user_is_ready_and_none_before() -> None:
    """Two users, the second 20 ms later; each answer takes 5 ms, and a user thinks for 10 ms."""
    due = [0] * 6
    sent: list[int] = []

    async def run() -> int:
        loop = asyncio.get_running_loop()
        begin = time.monotonic_ns()

        def send(index: int) -> None:
            assert due[index] <= time.monotonic_ns()
            sent.append(index)
            loop.call_later(0.005, lambda: users.ended(time.monotonic_ns()))

        users = UserLoop(loop, [begin + 20 * MS, begin], 10 * MS, due, send)
        users.start()
        while len(sent) < len(due):
            await asyncio.sleep(0.001)
        users.stop()
        return begin

    begin = uvloop.run(run())
    assert sent == list(range(6))
    assert due == sorted(due)
    assert due[0] == begin, "the first user's start"
    assert begin + 20 * MS in due, "the second user's"
    others = [at for at in due[1:] if at != begin + 20 * MS]
    assert all(at - begin >= 14 * MS for at in others), "an answer and a thought later"


def test_an_answer_that_is_read_late_makes_the_next_request_late() -> None:
    """Its user was ready when the answer came: the time until it is read is the client's own."""
    due, came = [0] * 2, list[int]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def send(index: int) -> None:
            if index:
                sent.set()
                return
            came.append(time.monotonic_ns())
            loop.call_later(0.02, lambda: users.ended(came[0]))

        users = UserLoop(loop, [time.monotonic_ns()], 5 * MS, due, send)
        users.start()
        await asyncio.wait_for(sent.wait(), 10)
        users.stop()

    uvloop.run(run())
    assert due[1] == came[0] + 5 * MS


def test_the_client_has_as_many_requests_under_way_as_users(
    server: ReferenceServer, tmp_path: Path
) -> None:
    count = 24
    plan = Schedule.from_columns(
        request_id=range(count),
        scheduled_ns=[index * 10_000 * MS for index in range(count)],
        function_id=["ref.ttft-20.gap-2"] * count,
        prompt_ids=[[1, 2, 3]] * count,
        output_tokens=[3] * count,
    )
    result = replay(
        plan, server.base_url, tmp_path, timeout_s=20, workers=2, lateness_budget_s=5,
        loop=ClosedLoop(users=4),
    )  # fmt: skip
    rows = result.table.to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert most_at_once(rows) == 4
    assert all(row["scheduled_ns"] <= row[SENT] for row in rows)
    assert max(row["scheduled_ns"] for row in rows) < 230_000 * MS, "not the schedule's times"
    starts = sorted(row["scheduled_ns"] for row in rows)
    assert starts[:4] == [0] * 4
    ends = sorted(row["end_ns"] for row in rows)
    assert all(due >= end for due, end in zip(starts[4:], ends, strict=False))
    assert set(starts[4:]) <= set(ends), "a user is ready when its answer has come"


def test_fewer_users_than_load_workers_are_refused(tmp_path: Path) -> None:
    plan = Schedule.from_columns(
        request_id=[0], scheduled_ns=[0], function_id=["f"], prompt_ids=[[1]], output_tokens=[1]
    )
    with pytest.raises(HarnessError, match="users: 1 are too few for 2 load workers"):
        replay(plan, "http://h", tmp_path, timeout_s=1, workers=2, loop=ClosedLoop(users=1))


def experiment(system: str, **workload: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "closed",
            "mode": "simulated",
            "profile": "l40s",
            "systems": [{"name": system}],
            "workloads": [
                {"name": "steady", "overrides": {"requests": 40, "output_tokens": 8}, **workload}
            ],
            "deployment": {
                "backbone": "llama2-7b", "dtype": "float16", "devices": 2, "device_memory_gib": 44,
            },
            "figures": [],
        }
    )  # fmt: skip


def simulated(chosen: Experiment, out: Path) -> Cell:
    run = new_run(chosen.model_dump(mode="json"), out)
    Runner(chosen, run, Progress(io.StringIO())).execute(1)
    (cell,) = run.cells()
    return cell


@pytest.mark.parametrize("system", ["serverless-lora", "serverless-llm", "dlora"])
def test_a_simulated_system_has_as_many_requests_under_way_as_users(
    system: str, tmp_path: Path
) -> None:
    cell = simulated(experiment(system, users=3, think_s=0.5, ramp_s=3.0), tmp_path)
    rows = cell.table("requests").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert most_at_once(rows) <= 3
    assert [row[SENT] for row in rows] == sorted(row[SENT] for row in rows), "in their order"
    assert {0, 1_000 * MS, 2_000 * MS} <= {row[SENT] for row in rows}, "the users' starts"
    assert rows[0]["end_ns"] + 500 * MS in {row[SENT] for row in rows}, "0.5 s after the answer"
    assert cell.manifest.load == {"loop": "closed", "users": 3, "think_s": 0.5, "ramp_s": 3.0}
    assert cell.summary["duration_s"] == pytest.approx(max(row["end_ns"] for row in rows) / 1e9)


def test_open_stays_the_default_and_is_said(tmp_path: Path) -> None:
    cell = simulated(experiment("serverless-lora"), tmp_path)
    assert cell.manifest.load == {"loop": "open"}


def test_a_timed_out_request_frees_its_user(tmp_path: Path) -> None:
    chosen = experiment("serverless-lora", users=1)
    limits = chosen.deployment.limits.model_copy(update={"request_timeout_s": 1.0})
    deployment = chosen.deployment.model_copy(update={"limits": limits})
    cell = simulated(chosen.model_copy(update={"deployment": deployment}), tmp_path)
    statuses = cell.requests["status"].tolist()
    assert statuses[0] == "timeout", "a cold start takes longer"
    assert len(statuses) == 40
    assert "ok" in statuses


def test_what_is_of_a_closed_loop_needs_users_and_has_no_rate_to_search() -> None:
    with pytest.raises(ValidationError, match="of a closed loop; set users"):
        experiment("serverless-lora", think_s=1.0)
    with pytest.raises(HarnessError, match=r"steady has users.*sweep workloads.users"):
        list(subjects(experiment("serverless-lora", users=2)))


def test_the_number_of_users_is_an_axis(tmp_path: Path) -> None:
    chosen = experiment("serverless-lora", users=1).model_dump(mode="json")
    swept = Experiment.model_validate({**chosen, "sweep": {"workloads.users": [1, 4]}})
    run = new_run(swept.model_dump(mode="json"), tmp_path)
    Runner(swept, run, Progress(io.StringIO())).execute(1)
    rates = [cell.summary["requests_per_s"] for cell in run.cells()]
    assert rates[1] > 1.5 * rates[0]
