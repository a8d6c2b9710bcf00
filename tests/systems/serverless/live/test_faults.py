"""Crashes, disconnects and refusals: each affects only the requests that it must."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from systems.errors import AdapterError, CheckpointError, DeploymentError
from systems.interface import Deployment, Device, Function
from systems.models import ensure_adapters
from systems.registry import system_class
from systems.serverless.system import ServerlessSystem

from .conftest import Running, deployed, looks_inside, wait_until

pytestmark = pytest.mark.live
Deploy = Callable[..., Running]

LONG = {"max_tokens": 480, "ignore_eos": True}


def test_a_killed_instance_fails_its_own_requests_and_is_replaced(up: Deploy) -> None:
    """The first of this module: f0 has the only instance."""
    running = up()

    async def kill_midway() -> tuple[Any, Any, Any]:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            (victim,) = running.instances()
            await running.ask(session, "f1")
            neighbour = await running.begin(session, "f1", **LONG)
            doomed = await running.begin(session, "f0", **LONG)
            victim.send_signal(signal.SIGKILL)
            return await doomed, await neighbour, await running.ask(session, "f0")

    doomed, neighbour, after = asyncio.run(kill_midway())
    assert doomed is not None
    assert doomed["code"] == "502"
    assert "SIGKILL" in doomed["message"]
    assert neighbour is None
    assert after["status"] == 200


def test_a_client_that_leaves_frees_its_place(up: Deploy) -> None:
    running = up()

    async def leave() -> tuple[set[psutil.Process], Any]:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            before = set(running.instances())
            tasks = [await running.begin(session, "f0", **LONG) for _ in range(4)]
            await asyncio.sleep(0)  # each reads more before it is cut off
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return before, await running.ask(session, "f0")

    before, answer = asyncio.run(leave())
    assert answer["status"] == 200
    assert before <= set(running.instances()), "the instance lived on"


def test_a_killed_template_takes_its_forks_and_is_started_again(up: Deploy) -> None:
    running = up()

    async def kill_template() -> Any:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            template = next(
                p for p in running.processes("zygote") if p.ppid() == running.endpoint.pids[0]
            )
            forks = running.instances()
            template.kill()
            psutil.wait_procs(forks, timeout=30)
            assert not any(fork.is_running() for fork in forks)
            return await running.ask(session, "f0")

    assert asyncio.run(kill_template())["status"] == 200


def _once(running: Running) -> Any:
    async def ask() -> Any:
        async with aiohttp.ClientSession() as session:
            return await running.ask(session, "f0")

    return asyncio.run(ask())


def _held(running: Running, device: str) -> int:
    """Bytes of f0 in the memory ledger now."""
    steps = running.system.system_trace().memory
    mine = [step for step in steps if step.function_id == "f0" and step.device == device]
    return sum({step.owner: step.bytes for step in mine}.values())


def test_an_idle_instance_goes_after_its_keep_alive(deploy: Deploy, deployment: Deployment) -> None:
    limits = deployment.limits.model_copy(update={"keep_alive_s": 0.3})
    running = deploy("serverless-llm", limits=limits)
    _once(running)
    assert _held(running, "cpu:0") > 0
    wait_until(lambda: not running.instances() and _held(running, "cpu:0") == 0)


@looks_inside
def test_a_sleeping_instance_lets_go_of_its_artifacts_and_wakes_with_them(
    deploy: Deploy, deployment: Deployment
) -> None:
    limits = deployment.limits.model_copy(update={"keep_alive_s": 0.3})
    options = {"rate_window_s": 0.5, "container_keep_alive_s": 6}
    running = deploy(limits=limits, options=options)
    first = _once(running)
    (instance,) = running.instances()
    assert _maps_backbone(instance)
    wait_until(lambda: _held(running, "cpu:0") == 0)
    assert not _maps_backbone(instance)
    assert _held(running, "host") > 0, "the container is left"
    again = _once(running)
    assert again["choices"] == first["choices"]
    assert running.instances() == [instance], "the same process was woken"
    stages = {span.stage.value for span in running.system.system_trace().requests[-1].spans}
    assert {"adapter", "kernels"} <= stages
    assert not stages & {"warming", "libraries"}
    wait_until(lambda: not running.instances() and _held(running, "host") == 0)


def _maps_backbone(process: psutil.Process) -> bool:
    return any("backbone" in each.path for each in process.memory_maps())


@pytest.fixture(scope="module")
def hasty(deployment: Deployment) -> Iterator[Running]:
    """A system whose requests have no time."""
    limits = deployment.limits.model_copy(update={"request_timeout_s": 0.05})
    with deployed("serverless-lora", deployment.model_copy(update={"limits": limits})) as running:
        yield running


def test_a_request_past_its_time_gets_an_error(hasty: Running) -> None:
    answer = _once(hasty)
    assert answer["status"] == 504
    assert "request_timeout_s" in answer["error"]["message"]


def test_a_gateway_whose_starter_is_going_removes_its_files(hasty: Running) -> None:
    """The kernel closes the files of a killed process first, while it still is the parent."""
    system = hasty.system
    assert isinstance(system, ServerlessSystem)
    assert system._live is not None
    folder, gateway = system._live._journal.parent, system._live._gateway
    assert gateway is not None
    assert gateway.stdin is not None
    assert folder.exists()
    gateway.stdin.close()
    gateway.wait(30)
    assert not folder.exists()


def test_nothing_outlives_a_gateway_that_is_killed(up: Deploy) -> None:
    """The last of this module with the system that its tests share."""
    running = up()
    _once(running)
    family = running.processes()
    assert len(family) >= 2
    os.kill(running.endpoint.pids[0], signal.SIGKILL)
    wait_until(lambda: not any(process.is_running() for process in family))


def test_what_cannot_be_served_is_refused_in_a_line_before_anything_starts(
    deployment: Deployment, tmp_path: Path, tiny: Path
) -> None:
    system = system_class("serverless-lora")()
    alien = ensure_adapters(tiny, ["f0"], rank=8)["f0"]
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        content = (alien / name).read_bytes()
        (broken / name).write_bytes(content[: len(content) // 2] if "safe" in name else content)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"backbones": {"tiny": tmp_path}}, CheckpointError, "config.json"),
        (
            {"functions": (Function(id="x", backbone="tiny", adapter=broken),)},
            AdapterError,
            "broken",
        ),
        (
            {"functions": (Function(id="x", backbone="tiny", adapter=tmp_path),)},
            AdapterError,
            "adapter_config.json",
        ),
        (
            {"devices": (Device(name="cpu:0", memory_bytes=1 << 20),)},
            DeploymentError,
            "cannot hold",
        ),
        ({"devices": (Device(name="cpu:0", memory_bytes=1 << 50),)}, DeploymentError, "less"),
    ]
    for changes, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            system.deploy(deployment.model_copy(update=changes))
        assert "\n" not in str(caught.value)


def test_a_port_in_use_is_said_so(deployment: Deployment) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        system = system_class("serverless-lora")()
        with pytest.raises(DeploymentError, match=f"{port}.*another port"):
            system.deploy(deployment.model_copy(update={"port": port}))
