"""A load generator that was started before its plan was known."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.reference_server import ReferenceServer
from harness.replay import Progress, Schedule, replay
from harness.replay.free_port import free_port
from harness.replay.generator import LoadGenerator
from harness.replay.messages import Done, read_line
from harness.replay.plan import Plan

MS = 1_000_000


def schedule(count: int, gap_ms: int = 5) -> Schedule:
    return Schedule.from_columns(
        request_id=range(count),
        scheduled_ns=[index * gap_ms * MS for index in range(count)],
        function_id=["ref.gap-2"] * count,
        prompt_ids=[[1, 2, 3]] * count,
        output_tokens=[3] * count,
    )


def test_it_sends_the_plan_that_it_is_given_and_ends_by_itself(
    server: ReferenceServer, tmp_path: Path
) -> None:
    with LoadGenerator(tmp_path) as generator:
        result = replay(
            schedule(5), server.base_url, tmp_path, timeout_s=20, lateness_budget_s=5,
            generator=generator,
        )  # fmt: skip
    assert result.table["status"].to_pylist() == ["ok"] * 5
    assert result.problems == ()
    assert generator.process.returncode == 0


def test_an_interrupt_ends_it_before_its_records_are_collected(
    server: ReferenceServer, tmp_path: Path
) -> None:
    def interrupt(now: Progress) -> None:
        raise KeyboardInterrupt

    with LoadGenerator(tmp_path) as generator:
        with pytest.raises(KeyboardInterrupt):
            replay(
                schedule(200, gap_ms=100), server.base_url, tmp_path, timeout_s=20,
                generator=generator, on_progress=interrupt,
            )  # fmt: skip
        assert generator.process.returncode is not None
    statuses = pq.read_table(tmp_path / "client.parquet")["status"].to_pylist()
    assert statuses[0] == "ok"
    assert len(statuses) == 200


def test_one_that_gets_no_plan_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), LoadGenerator(tmp_path) as generator:
        raise ZeroDivisionError
    assert generator.process.returncode is not None


def test_shares_that_other_hosts_lose_at_once_are_all_counted_even_before_it_is_up(
    tmp_path: Path,
) -> None:
    plan = Plan(
        schedule=tmp_path / "schedule.parquet", out_dir=tmp_path, base_url="http://127.0.0.1:1",
        workers=2, elsewhere=2, timeout_s=5, lead_s=0.2, web_port=None, headers={}, routes={},
        master_port=free_port(),
    )  # fmt: skip
    schedule(2).write(plan.schedule)
    with LoadGenerator(tmp_path, solo=False) as generator:
        generator.send(plan)
        generator.lose(0)
        generator.lose(1)
        assert generator.process.wait(20) == 0
        assert generator.process.stdout is not None
        (end,) = map(read_line, generator.process.stdout)
    assert isinstance(end, Done)
    assert (end.workers, end.lost) == ([], 2)
