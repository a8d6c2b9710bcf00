"""A replay that is interrupted, or of which a process is killed: what was done is kept, nothing is
left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from harness.errors import HarnessError
from harness.reference_server import ReferenceServer
from harness.replay import Progress, replay
from tests.harness.replay.test_client import schedule

pytestmark = pytest.mark.live

LONG_RUN = """
import pathlib, sys
from harness.replay import replay
from tests.harness.replay.test_client import schedule
print("up", flush=True)
tell = lambda progress: print("done", progress.done, flush=True)
replay(schedule(["ref.gap-5"] * 600, 20), sys.argv[1], pathlib.Path(sys.argv[2]), timeout_s=30,
       workers=int(sys.argv[3]), on_progress=tell)
"""


def long_run(server: ReferenceServer, folder: Path, workers: int) -> subprocess.Popen[str]:
    """Twelve seconds of load, some requests of which are done."""
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, server.base_url, str(folder), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("done") and int(line.split()[1]) >= 10:
            break
    return process


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def named(processes: list[psutil.Process], word: str) -> list[psutil.Process]:
    """Those that have it in their command."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # or is a zombie
            if word in process.cmdline():
                found.append(process)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_what_was_measured_and_leaves_no_process(
    server: ReferenceServer, tmp_path: Path, workers: int
) -> None:
    process = long_run(server, tmp_path, workers)
    below = descendants(process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert gone(below)
    status = pq.read_table(tmp_path / "client.parquet")["status"].to_pylist()
    assert len(status) == 600
    assert status.count("ok") >= 10
    assert status.count("unsent") > 100


def test_killing_the_caller_ends_everything_below_it(
    server: ReferenceServer, tmp_path: Path
) -> None:
    process = long_run(server, tmp_path, 2)
    below = descendants(process)
    assert len(below) >= 5, "a master, two workers, two senders"
    process.kill()
    process.communicate()
    assert gone(below)


@pytest.mark.parametrize("stopped", [0, 1])
def test_killing_locusts_master_ends_its_workers_which_keep_what_was_done(
    server: ReferenceServer, tmp_path: Path, stopped: int
) -> None:
    process = long_run(server, tmp_path, 2)
    below = descendants(process)
    for worker in named(below, "worker")[:stopped]:
        worker.suspend()
    named(below, "master")[0].kill()
    process.communicate(timeout=30)
    assert gone(below)
    status = pq.read_table(tmp_path / "client.parquet")["status"].to_pylist()
    assert len(status) == 600
    assert status.count("ok") >= 5


def test_workers_end_where_neither_master_nor_caller_is_left_to_end_them(
    server: ReferenceServer, tmp_path: Path
) -> None:
    process = long_run(server, tmp_path, 2)
    below = descendants(process)
    process.kill()
    for master in named(below, "master"):
        master.kill()
    process.communicate()
    assert gone(below)


def test_losing_a_sender_costs_its_share_and_is_said(
    server: ReferenceServer, tmp_path: Path
) -> None:
    plan = schedule(["ref.gap-5"] * 200, 10)
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        if progress.done >= 20 and not killed:
            children = psutil.Process().children(recursive=True)
            sender = named(children, "harness.replay.sender")[0]
            killed.append(sender.pid)
            sender.kill()

    result = replay(plan, server.base_url, tmp_path, timeout_s=5, workers=2, on_progress=kill_one)
    status = result.table["status"].to_pylist()
    assert killed
    assert status.count("ok") >= 100, "the other worker's share is whole"
    assert "1 load workers ended before they were done" in result.problems


def test_a_worker_that_is_lost_before_the_start_is_not_waited_for(
    server: ReferenceServer, tmp_path: Path
) -> None:
    begun = time.monotonic()
    killer = threading.Thread(target=kill_first, args=("worker",))
    killer.start()
    with pytest.raises(HarnessError, match=r"did not start: .* load worker [01] was ended by"):
        replay(schedule(["ref.gap-5"] * 4, 10), server.base_url, tmp_path, timeout_s=5, workers=2)
    killer.join()
    assert time.monotonic() - begun < 30, "no worker was there for Locust to wait for"


def kill_first(word: str) -> None:
    """Kill the first process below this one that has ``word`` in its command, once there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := named(psutil.Process().children(recursive=True), word):
            found[0].kill()
            return
        time.sleep(0.01)


def gone(processes: list[psutil.Process]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(alive(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
