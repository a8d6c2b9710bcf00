"""A deployed vllm-sleep over scripted vLLMs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from harness.conformance.talk import Reply, complete
from systems.interface import Deployment, Endpoint, RequestTrace
from systems.vllm_sleep import VllmSleep

from .conftest import SERVER

LIMIT_S = 10.0


class Live:
    """A deployed system, what its servers said, and its problems, since the last ``mark``."""

    def __init__(self, system: VllmSleep, endpoint: Endpoint) -> None:
        self.system, self.endpoint = system, endpoint
        self._said = self._problems = 0

    def mark(self) -> None:
        """Forget what was so far, once the server sleeps."""
        until(lambda: self._lines()[-1].endswith(" asleep"))
        self._said, self._problems = len(self._lines()), len(self._all_problems())

    def call(self, function: str = "f0", tokens: int = 2, request_id: str = "") -> Reply:
        return complete(self.endpoint, function, tokens, request_id=request_id)

    def said(self) -> list[str]:
        """Return what the servers' processes said, in order, except of calls."""
        said = (line.partition(" ")[2] for line in self._lines()[self._said :])
        return [each for each in said if each != "call"]

    def when_said(self, word: str) -> int:
        """Return the last time at which a server said ``word``."""
        return max(int(line.split()[0]) for line in self._lines() if line.endswith(f" {word}"))

    def hears(self, word: str) -> None:
        until(lambda: word in self.said())

    def problems(self) -> tuple[str, ...]:
        return self._all_problems()[self._problems :]

    def trace(self, request_id: str) -> RequestTrace:
        (found,) = (r for r in self.system.system_trace().requests if r.request_id == request_id)
        return found

    def servers(self) -> list[psutil.Process]:
        """Return the running servers."""
        (pid,) = self.endpoint.pids
        family = psutil.Process(pid).children(recursive=True)
        return [each for each in family if str(SERVER) in each.cmdline()]

    def _lines(self) -> list[str]:
        files = self.system.system_trace().files
        lines = "".join(files.values()).splitlines()
        return sorted(line for line in lines if re.match(r"\d+ (?!arguments)", line))

    def _all_problems(self) -> tuple[str, ...]:
        return self.system.system_trace().problems


@contextmanager
def live(deployment: Deployment) -> Iterator[Live]:
    """Deploy; at the end, check that no server was used while it could not be."""
    with VllmSleep() as system:
        yield Live(system, system.deploy(deployment))
        told = system.system_trace()
        assert not re.findall("VIOLATION.*", "".join(told.files.values()))


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def short_timeout() -> Iterator[None]:
    """Have clients leave after 0.2 s without an answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.conformance.talk.TIMEOUT_S", 0.2)
        yield
