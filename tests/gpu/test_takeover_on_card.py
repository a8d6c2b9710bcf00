"""On the card: a prewarmed process takes over an instance that wakes; the old process ends, and the
answers are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psutil
import pytest

from systems.interface import Deployment, Limits, ServingSystem
from systems.registry import system_class
from tests.deployments import tiny_deployment
from tests.systems.serverless.live.conftest import wait_until

from .test_shared_on_card import ask

OPTIONS = {"prewarmed": 1, "template_at_deployment": True}


def deployment() -> Deployment:
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=1)
    wanted = tiny_deployment(limits, ("f0", "f1"), gib=8, device="cuda:0")
    return wanted.model_copy(update={"options": OPTIONS})


class Running:
    """A system on the card; ``forks``: the processes that its template started and that live."""

    def __init__(self, system: ServingSystem) -> None:
        endpoint = system.deploy(deployment())
        self.url, self.gateway = endpoint.base_url, psutil.Process(endpoint.pids[0])

    def forks(self) -> set[int]:
        found = self.gateway.children(recursive=True)
        return {each.pid for each in found if each.ppid() != self.gateway.pid}

    def ask(self, name: str) -> str:
        return asyncio.run(ask(self.url, name))  # type: ignore[no-any-return]


@pytest.fixture
def system() -> Iterator[ServingSystem]:
    with system_class("serverless-lora")() as found:
        yield found


def test_a_process_of_the_pool_serves_and_the_old_one_ends(system: ServingSystem) -> None:
    running = Running(system)
    texts = {name: running.ask(name) for name in ("f0", "f1")}
    assert texts["f0"] != texts["f1"], "the adapters differ"
    wait_until(lambda: _parked(system) >= 2 and len(running.forks()) == 3, 60)
    before = running.forks()
    assert running.ask("f0") == texts["f0"], "by its own adapter, in the process of the pool"
    wait_until(lambda: len(running.forks()) == 3 and running.forks() != before, 60)
    assert len(before - running.forks()) == 1, "the old process alone has ended"
    last = system.system_trace().requests[-1]
    assert last.start_type is not None
    assert last.start_type.value == "warm"
    stages = [span.stage.value for span in last.spans]
    assert stages.index("adapter") < stages.index("kernels") < stages.index("prefill")
    assert running.ask("f1") == texts["f1"]
    assert system.system_trace().problems == ()


def _parked(system: ServingSystem) -> int:
    """The number of functions that hold an adapter and no keys and values on the card."""
    now: dict[tuple[str, str | None], int] = {}
    for step in system.system_trace().memory:
        if step.device == "cuda:0":
            now[step.owner.value, step.function_id] = step.bytes
    held = {function for (owner, function), size in now.items() if owner == "adapters" and size}
    serving = {function for (owner, function), size in now.items() if owner == "kv" and size}
    return len(held - serving)


def test_nothing_is_left_where_one_stops_during_a_takeover(system: ServingSystem) -> None:
    running = Running(system)
    running.ask("f0")
    wait_until(lambda: _parked(system) >= 1 and len(running.forks()) == 2, 60)
    running.ask("f0")
    family = running.gateway.children(recursive=True)
    system.stop()
    assert not psutil.wait_procs(family, timeout=30)[1]
