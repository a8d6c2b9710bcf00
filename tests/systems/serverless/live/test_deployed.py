"""The time limit of a gateway's start is one for each line that it prints."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.serverless.live import deployed
from systems.serverless.live.start_messages import (
    Compiling,
    Listening,
    Preparing,
    StartFailed,
    write,
)


class Timers:
    """A stand-in for ``threading.Timer`` that records which timers run."""

    def __init__(self) -> None:
        self.running: list[bool] = []

    def __call__(self, seconds: float, then: Any) -> Any:
        at = len(self.running)
        self.running.append(False)
        put = self.running.__setitem__
        return SimpleNamespace(start=lambda: put(at, True), cancel=lambda: put(at, False))


def starting(monkeypatch: pytest.MonkeyPatch, *said: Any) -> tuple[deployed.LiveDeployment, Timers]:
    """A deployment whose gateway has printed ``said``."""
    out, timers = io.StringIO(), Timers()
    for message in said:
        write(message, out)
    out.seek(0)
    monkeypatch.setattr(deployed.threading, "Timer", timers)
    found = deployed.LiveDeployment("serverless-lora", {})
    found._gateway = SimpleNamespace(stdout=out, kill=lambda: None)  # type: ignore[assignment]
    monkeypatch.setattr(found, "stop", lambda: None)
    found._directory.rmdir()
    return found, timers


def test_a_gateway_that_compiles_has_the_whole_time_for_each_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = (Compiling(), Compiling(), Listening(8000))
    deployment, timers = starting(monkeypatch, *said)
    assert deployment._await_answer() == Listening(8000)
    assert timers.running == [False, False, False], "one for each line, all cancelled"


def test_one_that_waits_has_the_whole_time_after_each_line_and_says_for_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = [Preparing("the template"), Preparing("backbone b on cuda:0")]
    deployment, timers = starting(monkeypatch, Compiling(), *waits, Listening(8000))
    assert deployment._await_answer() == Listening(8000)
    assert timers.running == [False] * 4, "one for each line, all cancelled"
    deployment, _ = starting(monkeypatch, *waits)
    with pytest.raises(DeploymentError, match=r"before it answered \(it waited for backbone b on"):
        deployment._await_answer()


def test_one_that_fails_after_it_compiled_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, _ = starting(monkeypatch, Compiling(), StartFailed("no such instruction"))
    with pytest.raises(DeploymentError, match="no such instruction"):
        deployment._await_answer()


def test_one_that_ends_while_it_compiles_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, _ = starting(monkeypatch, Compiling())
    with pytest.raises(DeploymentError, match="the gateway ended before it answered"):
        deployment._await_answer()
