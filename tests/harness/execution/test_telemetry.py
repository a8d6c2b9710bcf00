"""Memory is measured of whole process trees, children that come and go included."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from subprocess import PIPE
from types import SimpleNamespace

import psutil
import pytest

from harness.cells.sample import Sample
from harness.execution.gpu_memory import GpuMemory
from harness.execution.telemetry import Sampler
from systems.runtime.process_memory import Shares

HOLD = "import sys; x=bytearray(64<<20); sys.stdin.readline()"
PARENT = f"read line; {shlex.quote(sys.executable)} -c {shlex.quote(HOLD)}; read line"
"""A shell that has a child with 64 MiB from its first line of input to the second."""


def _wait_for(sampler: Sampler, condition: Callable[[Sample], bool]) -> Sample:
    """Return a sample, from now on, for which ``condition`` holds."""
    end, seen = time.monotonic() + 60, len(sampler.samples)
    while time.monotonic() < end:
        found = next(filter(condition, sampler.samples[seen:]), None)
        if found is not None:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not sampled: {sampler.samples[-1:]}")


def test_a_child_is_counted_while_it_lives() -> None:
    command = ["sh", "-c", PARENT]
    with (
        subprocess.Popen(command, stdin=PIPE, text=True, bufsize=1) as parent,
        Sampler([parent.pid], tick_s=0.02, pss_s=0.05) as sampler,
    ):
        assert parent.stdin is not None
        before = _wait_for(sampler, lambda sample: sample.processes == 1)
        parent.stdin.write("begin\n")
        _wait_for(
            sampler,
            lambda sample: (
                sample.processes == 2
                and (sample.anonymous_bytes or 0) - (before.anonymous_bytes or 0) > 60 << 20
            ),
        )
        parent.stdin.write("end\n")
        _wait_for(sampler, lambda sample: sample.processes == 1)
    assert any(sample.pss_bytes for sample in sampler.samples)


@pytest.mark.timed
def test_samples_come_ten_times_a_second_and_do_not_drift() -> None:
    start = time.monotonic_ns()
    with Sampler([os.getpid()]) as sampler:
        time.sleep(2.05)
    ticks = [(sample.t_ns - start) / 1e8 for sample in sampler.samples]
    assert 15 <= len(ticks) <= 22
    assert abs(ticks[-1] - round(ticks[-1])) < 0.6, "on the grid of its start"
    about = sampler.about()
    assert about["hz"] == pytest.approx(10, abs=3)
    assert 0 < about["cpu_share"] < 0.5


def test_a_long_reading_of_shares_delays_no_other_and_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = threading.Event()

    def slow(pids: Sequence[int]) -> Shares | None:
        assert os.getpid() in pids
        ends.wait(60)
        return Shares(7, 5)

    monkeypatch.setattr("harness.execution.shares.shares_of_all", slow)
    with Sampler([os.getpid()], tick_s=0.01, pss_s=0.01) as sampler:
        _wait_for(sampler, lambda _: len(sampler.samples) >= 5)
        assert all(sample.pss_bytes is None for sample in sampler.samples)
        threading.Timer(0.05, ends.set).start()
        sampler._stop.set()
    assert sampler.samples[-1].pss_bytes == 7


def test_the_longest_time_without_a_sample_is_told() -> None:
    sampler = Sampler([])
    assert sampler.about()["longest_gap_s"] is None
    sampler.samples = [Sample(round(t_s * 1e9), 0, 0, 0, 1) for t_s in (0, 0.1, 9.2, 9.3)]
    assert sampler.about()["longest_gap_s"] == 9.1


class FakeNvml:
    """The functions of pynvml that are used, for one device and given answers."""

    class NVMLError(Exception):
        pass

    def __init__(self, processes: dict[int, int | None] | None, used: int) -> None:
        self._processes, self._used = processes, used

    def nvmlInit(self) -> None:  # noqa: N802
        if self._processes is None:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        assert self._processes is not None
        return [SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in self._processes.items()]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=self._used)


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ({10: 5, 11: 7, 99: 100}, {"cuda:0": 12}),
        ({99: 100}, {"cuda:0": 1000}),
        ({10: None}, {"cuda:0": 1000}),
    ],
    ids=["of the tree", "of the device, where the tree is not named", "nor its bytes"],
)
def test_gpu_memory_is_the_trees_where_the_driver_tells(
    monkeypatch: pytest.MonkeyPatch, processes: dict[int, int | None], expected: dict[str, int]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(processes, 1000))
    missing: list[str] = []
    assert GpuMemory(missing).read([10, 11]) == expected
    assert missing == []


def test_a_sensor_that_is_not_there_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(None, 0))
    missing: list[str] = []
    assert GpuMemory(missing).read([10]) == {}
    assert missing == ["nvml: Driver Not Loaded"]


BUSY = "import sys,time; print(1,flush=True); t=time.monotonic()+60\nwhile time.monotonic()<t: pass"


@pytest.mark.timed
def test_the_share_of_a_core_of_a_root_process_is_told() -> None:
    """A child of a root does not count: a gateway's thread is what may be the limit."""
    command = [sys.executable, "-c", "import sys; print(1,flush=True); sys.stdin.read()"]
    with (
        subprocess.Popen([sys.executable, "-c", BUSY], stdout=PIPE) as busy,
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as idle,
    ):
        for each in (busy, idle):
            assert each.stdout is not None
            each.stdout.readline()
        with Sampler([busy.pid, idle.pid]) as both, Sampler([idle.pid]) as one:
            start, process = time.monotonic(), psutil.Process(busy.pid)
            until_s = process.cpu_times().user + 0.4
            while process.cpu_times().user < until_s:
                time.sleep(0.02)
        took_s = time.monotonic() - start
        busy.kill()
        idle.kill()
    assert both.about()["root_cpu_share"] >= 0.3 / took_s
    assert one.about()["root_cpu_share"] < both.about()["root_cpu_share"]
    assert Sampler([]).about()["root_cpu_share"] is None
