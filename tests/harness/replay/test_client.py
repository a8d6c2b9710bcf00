"""The whole client, its processes and sockets, against the reference server and its oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.reference_server import ReferenceServer, expect
from harness.replay import Progress, ReplayResult, Schedule, replay
from harness.replay.records import CLIENT_SCHEMA
from tests.harness.replay.test_decode import BEHAVIOURS

pytestmark = pytest.mark.timed
MS = 1_000_000
NOISE_NS = 250 * MS
"""What a shared machine may add to a time before a test blames the client."""


def schedule(models: list[str], gap_ms: float = 10, tokens: int = 6) -> Schedule:
    return Schedule.from_columns(
        request_id=[100 + index for index in range(len(models))],
        scheduled_ns=[int(index * gap_ms * MS) for index in range(len(models))],
        function_id=models,
        prompt_ids=[[7 * index, 1, 2 + index] for index in range(len(models))],
        output_tokens=[tokens] * len(models),
    )


class Zoo:
    """Every behaviour, three times over, in one replay."""

    def __init__(self, server: ReferenceServer, folder: Path) -> None:
        self.schedule = schedule(list(BEHAVIOURS) * 3)
        self.seen: list[Progress] = []
        self.result = replay(
            self.schedule, server.base_url, folder, timeout_s=1.5, on_progress=self.seen.append
        )
        self.log = server.log()
        self.folder = folder

    def pairs(self) -> Iterator[tuple[dict[str, Any], Any]]:
        prompts = self.schedule.table["prompt_ids"].to_pylist()
        for row, prompt in zip(self.result.table.to_pylist(), prompts, strict=True):
            yield row, expect(row["function_id"], prompt, self.log[row["request_id"]])


@pytest.fixture(scope="module")
def zoo(server: ReferenceServer, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo(server, tmp_path_factory.mktemp("zoo"))


def test_every_request_of_the_schedule_has_its_row(zoo: Zoo) -> None:
    assert zoo.result.table.schema == CLIENT_SCHEMA
    for name in ("request_id", "scheduled_ns", "function_id"):
        assert zoo.result.table[name].to_pylist() == zoo.schedule.table[name].to_pylist()


def test_what_is_recorded_is_what_the_oracle_says(zoo: Zoo) -> None:
    for row, expected in zoo.pairs():
        for name in ("status", "output_tokens", "prompt_tokens", "text_sha256"):
            assert row[name] == getattr(expected, name), (row["function_id"], name, row["error"])


def test_times_are_the_servers_plus_the_way_here(zoo: Zoo) -> None:
    for row, expected in zoo.pairs():
        for name in ("first_token_ns", "last_token_ns"):
            truth = getattr(expected, name)
            if truth is None:
                assert row[name] is None
            else:
                assert 0 <= row[name] + zoo.result.start_ns - truth < NOISE_NS


def test_gaps_are_those_between_the_tokens_the_server_sent(zoo: Zoo) -> None:
    compared = 0
    for row, expected in zoo.pairs():
        if row["itl_ns"] is not None:
            truth = np.diff(expected.token_ns)
            assert len(row["itl_ns"]) == len(truth)
            assert np.all(np.abs(np.array(row["itl_ns"]) - truth) < NOISE_NS)
            compared += len(truth)
    assert compared > 50


def test_each_row_keeps_the_order_of_its_moments(zoo: Zoo) -> None:
    names = (
        "scheduled_ns",
        "sent_ns",
        "first_byte_ns",
        "first_token_ns",
        "last_token_ns",
        "end_ns",
    )
    for row in zoo.result.table.to_pylist():
        moments = [row[name] for name in names if row[name] is not None]
        assert moments == sorted(moments), row["function_id"]


def test_a_failure_says_why_in_one_line(zoo: Zoo) -> None:
    for row in zoo.result.table.to_pylist():
        assert (row["error"] is None) == (row["status"] == "ok")
        assert "\n" not in (row["error"] or "")


def test_progress_reaches_the_end(zoo: Zoo) -> None:
    failed = sum(row["status"] != "ok" for row in zoo.result.table.to_pylist())
    assert zoo.seen[-1] == Progress(len(zoo.schedule), failed, len(zoo.schedule))


def test_it_says_of_what_it_is_the_record(zoo: Zoo) -> None:
    assert zoo.result.schedule_sha256 == zoo.schedule.sha256
    assert Schedule.read(zoo.folder / "schedule.parquet").sha256 == zoo.schedule.sha256
    assert sorted(path.name for path in zoo.folder.iterdir()) == [
        "client.parquet", "locust.log", "schedule.parquet"
    ]  # fmt: skip
    assert zoo.result.cpu_us_per_event is not None
    assert zoo.result.lateness.p99_ns is not None
    assert zoo.result.read_lag.p50_ns is not None


def tokens_by_request(result: ReplayResult) -> dict[int, str]:
    rows = result.table.select(["request_id", "text_sha256"]).to_pylist()
    return {row["request_id"]: row["text_sha256"] for row in rows}


def test_three_workers_send_what_one_sends(server: ReferenceServer, tmp_path: Path) -> None:
    plan = schedule(["ref.gap-2"] * 31)
    one = replay(plan, server.base_url, tmp_path / "one", timeout_s=5)
    log_one = server.log()
    three = replay(plan, server.base_url, tmp_path / "three", timeout_s=5, workers=3)
    log_three = server.log()
    assert tokens_by_request(one) == tokens_by_request(three)
    assert set(three.table["status"].to_pylist()) == {"ok"}
    assert log_one.keys() == log_three.keys()
    assert three.schedule_sha256 == one.schedule_sha256
    late = [row["sent_ns"] - row["scheduled_ns"] for row in three.table.to_pylist()]
    assert all(0 <= value < NOISE_NS for value in late), "all workers share one start"
