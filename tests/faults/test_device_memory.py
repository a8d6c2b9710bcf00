"""Memory of a device is attributed to processes, and what is not given back is noticed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from . import device_memory
from .device_memory import MIB, Reading, not_back
from .fault import MissedError
from .hog import FullDevice, Hog
from .stage import Stage

OURS = os.getpid()
COPY = 260 * MIB


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def other() -> Iterator[int]:
    """The id of a process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def test_what_no_process_accounts_for_is_the_rest() -> None:
    reading = Reading({1: 5, 2: 7}, 20)
    assert reading.rest == 8
    assert reading.of([2, 3]) == 7


def test_a_device_whose_memory_is_back_has_nothing_left(other: int) -> None:
    before = Reading({}, 500 * MIB)
    now = Reading({other: 900 * MIB}, 1500 * MIB)
    assert not_back(before, lambda: now, {OURS}, 0) == [], "another's process may come meanwhile"


@pytest.mark.parametrize("what", ["process", "copy", "ended process"])
def test_memory_that_is_not_given_back_is_noticed(what: str, ended: int) -> None:
    before = Reading({}, 500 * MIB)
    now, told = {
        "process": (Reading({OURS: MIB}, 501 * MIB), "1 MiB on the device of processes of the"),
        "copy": (Reading({}, 500 * MIB + COPY), "760 MiB on the device of no process, 500 before"),
        "ended process": (Reading({ended: MIB}, 501 * MIB), "of processes that have ended"),
    }[what]
    (found,) = not_back(before, lambda: now, {OURS}, 0)
    assert told in found


def test_memory_may_take_a_moment_to_be_back() -> None:
    before = Reading({}, 0)
    readings = iter([Reading({OURS: MIB}, MIB), Reading({}, COPY), before])
    assert not_back(before, lambda: next(readings), {OURS}, 5) == []


class Nvml:
    """The functions of pynvml that are used, for one card."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"GPU-{index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return f"card {handle}"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        assert handle == "GPU-1"
        return [SimpleNamespace(pid=10, usedGpuMemory=5), SimpleNamespace(pid=11, usedGpuMemory=7)]

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        assert handle == "GPU-1"
        return SimpleNamespace(used=100)


def test_a_card_is_read_by_process_from_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device_memory.reader("cuda:0")() == Reading({10: 5, 11: 7}, 100)
    assert device_memory.name("cuda:0") == "card GPU-1"
    assert device_memory.name("cpu:0") is None


def test_on_the_host_a_process_has_what_no_other_maps() -> None:
    hog = Hog("cpu:0", 64 * MIB)
    before = device_memory.reader("cpu:0")()
    assert hog.take() == 64 * MIB
    after = device_memory.reader("cpu:0")()
    (pid,) = (pid for pid, held in after.by_process.items() if held > 64 * MIB)
    assert after.of([pid]) - before.of([pid]) >= 64 * MIB
    hog.end()
    assert pid not in device_memory.reader("cpu:0")().by_process


def test_a_full_device_is_taken_when_its_target_is_there_and_given_back(tmp_path: Path) -> None:
    targets: list[int] = []
    before = device_memory.reader("cpu:0")().by_process.keys()
    fault, stage = FullDevice(lambda _: targets, 8 * MIB), Stage(tmp_path)
    end = fault.prepare(stage)
    random = np.random.default_rng(0)
    with pytest.raises(MissedError):
        asyncio.run(fault.inflict()(stage, random))
    targets.append(1)
    undo = asyncio.run(fault.inflict()(stage, random))
    assert undo is not None
    (hog,) = device_memory.reader("cpu:0")().by_process.keys() - before
    undo()
    end()
    assert hog not in device_memory.reader("cpu:0")().by_process
