"""Load from another host: here another process, reached as another host is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.errors import HarnessError
from harness.reference_server import ReferenceServer
from harness.replay import replay
from harness.replay.hosts import LoadHosts
from harness.replay.hosts.files import Incoming, send_file
from harness.replay.hosts.messages import FromWorker, Piece
from harness.replay.plan import Plan
from systems.runtime.links import secret
from systems.runtime.links.link import Link
from systems.runtime.links.message import Message
from tests.harness.replay.test_client import schedule

KEY = "of this run"


def another_host(hosts: LoadHosts, key: str = KEY) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "load-worker", f"{hosts.address}:{hosts.port}"]
    return subprocess.Popen(
        command, env={**os.environ, secret.VARIABLE: key}, stderr=subprocess.PIPE, text=True
    )


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return its exit status and its output."""
    said = process.communicate(timeout=20)[1]
    return process.returncode, said


def test_a_share_is_sent_from_another_host(server: ReferenceServer, tmp_path: Path) -> None:
    asked = schedule(["steady"] * 24)
    with LoadHosts(KEY, 1, "127.0.0.1", 0) as hosts:
        process = another_host(hosts)
        result = replay(
            asked,
            server.base_url,
            tmp_path,
            timeout_s=5,
            workers=2,
            lateness_budget_s=1.0,
            hosts=hosts,
        )
        below = psutil.Process(process.pid).children(recursive=True)
    assert end_of(process)[0] == 0
    assert not psutil.wait_procs(below, timeout=5)[1], "a process outlived its load worker"
    rows = result.table.to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 24
    assert result.problems == ()
    assert result.schedule_sha256 == asked.sha256
    assert [row["request_id"] for row in rows] == asked.table["request_id"].to_pylist()
    (host,) = result.hosts
    assert host.same_clock
    assert abs(host.offset_ns) <= host.error_ns < 50_000_000


def test_a_host_that_is_lost_takes_its_share_and_no_more(
    server: ReferenceServer, tmp_path: Path
) -> None:
    with LoadHosts(KEY, 1, "127.0.0.1", 0) as hosts:
        process = another_host(hosts)

        def kill_once_under_way(told: object) -> None:
            process.kill()

        result = replay(
            schedule(["steady"] * 60, gap_ms=50),
            server.base_url,
            tmp_path,
            timeout_s=5,
            workers=2,
            lateness_budget_s=1.0,
            hosts=hosts,
            on_progress=kill_once_under_way,
        )
    assert end_of(process)[0] < 0
    status = [row["status"] for row in result.table.to_pylist()]
    assert "1 load workers ended before they were done" in result.problems
    assert result.hosts[0].lost
    assert status[0::2].count("ok") == 30 or status[1::2].count("ok") == 30
    assert "unsent" in status


def test_who_does_not_know_the_secret_sends_nothing() -> None:
    with LoadHosts(KEY, 1, "127.0.0.1", 0) as hosts:
        status, said = end_of(another_host(hosts, key="guessed"))
    assert status == 2
    assert "lost the harness" in said


def test_an_address_that_is_not_ours_is_refused() -> None:
    with (
        pytest.raises(HarnessError, match=r"cannot listen on 192\.0\.2\.1"),
        LoadHosts(KEY, 1, "192.0.2.1", 0),
    ):
        pass


def test_one_that_cannot_listen_for_whatever_reason_leaves_no_thread() -> None:
    with pytest.raises(OverflowError), LoadHosts(KEY, 1, "127.0.0.1", 70_000):
        pass
    assert "load-hosts" not in {thread.name for thread in threading.enumerate()}


def test_hosts_that_do_not_take_leave_are_waited_for_together() -> None:
    class Deaf:
        def send(self, message: Message) -> None: ...

        async def finish(self) -> None:
            await asyncio.sleep(0.5)

    begun = time.monotonic()
    with LoadHosts(KEY, 4, "127.0.0.1", 0) as hosts:
        hosts._sessions += [SimpleNamespace(link=Deaf())] * 4  # type: ignore[list-item]
    assert time.monotonic() - begun < 1.5


def test_another_host_is_given_its_worker_and_none_of_the_cores_of_this_one() -> None:
    given: list[Plan] = []

    class Other:
        async def give(self, plan: Plan, on_lost: Callable[[], None]) -> None:
            given.append(plan)
            on_lost()

    plan = Plan(
        schedule=Path("s"), base_url="http://x", out_dir=Path("o"), workers=3, elsewhere=1,
        timeout_s=1, lead_s=1, cores=(4, 5, 6, 7),
    )  # fmt: skip
    lost: list[int] = []
    with LoadHosts(KEY, 1, "127.0.0.1", 0) as hosts:
        hosts._sessions.append(Other())  # type: ignore[arg-type]
        hosts.begin(plan, lost.append)
        hosts._sessions.clear()
    assert lost == [2]
    assert given == [plan.model_copy(update={"worker": 2, "cores": ()})]
    assert [plan.cores_of(worker) for worker in (0, 1)] == [(4, 6), (5, 7)]


class Loop(Link):
    """A link whose other end is a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(FromWorker, {}, lambda why: None)
        self._incoming = Incoming(folder, name)
        self.complete = False

    def send(self, message: Message) -> None:
        assert isinstance(message, Piece)
        self.complete = self._incoming.take(message)


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 20) + 1])
def test_files_arrive_as_they_were(tmp_path: Path, size: int) -> None:
    here, there = tmp_path / "a.arrows", tmp_path / "there"
    there.mkdir()
    here.write_bytes(os.urandom(size))
    link = Loop(there, "a.arrows")
    asyncio.run(send_file(link, here))
    assert link.complete
    assert (there / "a.arrows").read_bytes() == here.read_bytes()


def test_a_file_that_nobody_asked_for_is_not_written(tmp_path: Path) -> None:
    piece = Piece("../a.arrows", b"", last=True)
    with pytest.raises(ValueError, match="was not requested"):
        Incoming(tmp_path, "a.arrows").take(piece)
