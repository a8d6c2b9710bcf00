"""A deployed vllm-sleep over scripted vLLMs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness.conformance.talk import Reply, complete
from systems.interface import Deployment, Endpoint, RequestTrace
from systems.vllm_sleep import VllmSleep

LIMIT_S = 10.0


class Live:
    """A deployed system, and what its servers said."""

    def __init__(self, system: VllmSleep, endpoint: Endpoint) -> None:
        self.system, self.endpoint = system, endpoint

    def call(self, function: str = "f0", tokens: int = 2, request_id: str = "") -> Reply:
        return complete(self.endpoint, function, tokens, request_id=request_id)

    def said(self, server: str = "tiny-0") -> list[str]:
        """Return what a server's process said, in order, without its times and arguments."""
        lines = self.system.system_trace().files[f"{server}.log"].splitlines()
        return [line.partition(" ")[2] for line in lines if "arguments:" not in line]

    def until(self, word: str, count: int = 1, server: str = "tiny-0") -> None:
        """Wait until the server has said ``word`` so many times."""
        deadline = time.monotonic() + LIMIT_S
        while self.said(server).count(word) < count:
            assert time.monotonic() < deadline, f"never said {word}: {self.said(server)}"
            time.sleep(0.005)

    def trace(self, request_id: str) -> RequestTrace:
        (found,) = (r for r in self.system.system_trace().requests if r.request_id == request_id)
        return found


@contextmanager
def live(deployment: Deployment) -> Iterator[Live]:
    with VllmSleep() as system:
        here = Live(system, system.deploy(deployment))
        yield here
        told = system.system_trace()
        assert not re.findall("VIOLATION.*", "".join(told.files.values()))


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def short_timeout() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.conformance.talk.TIMEOUT_S", 0.2)
        yield
