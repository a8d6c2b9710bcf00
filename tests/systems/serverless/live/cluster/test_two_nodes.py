"""Two live nodes on Ray: both serve; when one is killed only its running requests fail; its
replacement is used. All tests share one cluster, since Ray starts slowly."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator

import aiohttp
import psutil
import pytest

from systems.interface import Deployment, SystemTrace
from systems.registry import system_class

from ..conftest import Running, command_of, wait_until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


@pytest.fixture(scope="module")
def cluster(deployment: Deployment) -> Iterator[Running]:
    others = set(psutil.Process().children(recursive=True))
    system = system_class("serverless-lora")()
    changes = {"cluster": "local:2", "devices": deployment.devices}
    running = Running(system, system.deploy(deployment.model_copy(update=changes)))
    mine = [p for p in psutil.Process().children(recursive=True) if p not in others]
    yield running
    system.stop()
    assert not psutil.wait_procs(mine, timeout=30)[1], "a process outlived its system"


AGENT = "systems.serverless.live.cluster.agent"


def agents() -> dict[str, psutil.Process]:
    """The agents below this process, by node."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        command = command_of(process).split()
        if AGENT in command:
            found[command[command.index(AGENT) + 3]] = process
    return found


def ask_all(running: Running, **fields: object) -> dict[str, int]:
    """Send one request to each function at once; return status by function."""

    async def asked() -> dict[str, int]:
        async with aiohttp.ClientSession() as session:
            names = [f"f{index}" for index in range(4)]
            answers = [running.ask(session, name, **fields) for name in names]
            done = await asyncio.gather(*answers)
            return {name: answer["status"] for name, answer in zip(names, done, strict=True)}

    return asyncio.run(asked())


def nodes_that_served(system_trace: SystemTrace) -> set[str]:
    return {each.device.split("/")[0] for each in system_trace.activity}


def test_both_nodes_serve(cluster: Running) -> None:
    assert set(ask_all(cluster).values()) == {200}
    system_trace = cluster.system.system_trace()
    assert nodes_that_served(system_trace) == {"node-0", "node-1"}
    assert {node.host for node in system_trace.nodes} == {"node-0", "node-1"}
    assert all(node.same_clock for node in system_trace.nodes)
    assert all(abs(node.offset_ns) <= node.error_ns for node in system_trace.nodes)


def test_stages_of_a_node_add_up_on_the_gateways_clock(cluster: Running) -> None:
    for request in cluster.system.system_trace().requests:
        ends = [request.received_ns, *(span.end_ns for span in request.spans)]
        assert [span.start_ns for span in request.spans] == ends[:-1]
        assert request.responded_ns is not None
        assert request.responded_ns >= ends[-1]


def test_memory_is_measured_on_each_node(cluster: Running) -> None:
    wait_until(lambda: len({s.host for s in cluster.system.system_trace().node_memory}) == 2)


def test_a_node_that_is_killed_takes_only_what_ran_there(cluster: Running) -> None:
    """Under load: long answers run on both nodes when the agent of one is killed."""
    lost = agents()["node-0"]

    async def under_load() -> list[int]:
        async with aiohttp.ClientSession() as session:
            long = [
                asyncio.create_task(cluster.ask(session, f"f{n % 4}", max_tokens=400))
                for n in range(8)
            ]
            await asyncio.sleep(0.5)
            lost.kill()
            return [answer["status"] for answer in await asyncio.gather(*long)]

    statuses = asyncio.run(under_load())
    assert set(statuses) <= {200, 502}
    assert statuses.count(200) >= 1, "the other node's requests went on"
    assert statuses.count(502) >= 1, "what ran there had an error"


def test_what_ran_there_is_served_elsewhere(cluster: Running) -> None:
    assert set(ask_all(cluster).values()) == {200}


def test_the_node_that_comes_in_its_place_is_used(cluster: Running) -> None:
    def there() -> set[str]:
        return {node.host for node in cluster.system.system_trace().nodes if node.left_ns is None}

    wait_until(lambda: there() == {"node-1", "node-2"}, timeout_s=150)
    agents()["node-1"].kill()
    wait_until(lambda: "node-1" not in there())
    assert set(ask_all(cluster).values()) == {200}
    system_trace = cluster.system.system_trace()
    assert "node-2" in nodes_that_served(system_trace)
    assert any(problem.startswith("node node-0 was lost") for problem in system_trace.problems)
