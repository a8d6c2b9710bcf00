"""The harness validates a system trace before it computes anything from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.execution.executor import RunContext
from harness.execution.live_executor import LiveExecutor
from harness.execution.progress import Progress
from harness.experiment_files import load
from harness.records import Run
from systems.errors import SystemTraceError
from systems.interface import (
    Deployment,
    Endpoint,
    MemoryOwner,
    MemoryStep,
    ServingSystem,
    SystemInfo,
    SystemTrace,
)


class Mistimed(ServingSystem):
    """A system whose memory ledger has a string as a time."""

    name = "mistimed"
    kind = "external"
    summary = ""

    def check(self, deployment: Deployment) -> None:
        pass

    def deploy(self, deployment: Deployment) -> Endpoint:
        return Endpoint("http://127.0.0.1:1", ("f0",))

    def info(self) -> SystemInfo:
        return SystemInfo(self.name, "1")

    def system_trace(self) -> SystemTrace:
        word: Any = "x"
        return SystemTrace(memory=(MemoryStep(word, "cpu:0", MemoryOwner.KV, None, 1),))

    def stop(self) -> None:
        pass


def test_a_malformed_time_ends_a_run_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command prints the message of the SystemsError and no traceback."""
    loaded = SimpleNamespace(table=None, schedule_sha256="", start_ns=5, problems=(), hosts=())

    def load_nothing(*told: Any) -> SimpleNamespace:
        told[-1].end()  # The generator would wait for a plan.
        return loaded

    monkeypatch.setattr(LiveExecutor, "_load", load_nothing)
    executor = LiveExecutor(RunContext(load("quickstart"), Run(tmp_path, {}), Progress()))
    cell: Any = SimpleNamespace(system=Mistimed(), deployment=None)
    with pytest.raises(SystemTraceError, match=r"^mistimed: system trace: memory\[0\]\.t_ns: "):
        executor.run(cell, "a cell")
