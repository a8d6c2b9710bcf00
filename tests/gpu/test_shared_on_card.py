"""A whole platform on the card: all ways to share a backbone return the same tokens, are audited in
device memory and release their memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import psutil
import pytest

from systems.interface import Deployment, Limits, ServingSystem
from systems.registry import system_class
from tests.deployments import tiny_deployment
from tests.systems.serverless.live.conftest import wait_until


def deployment(options: dict[str, Any]) -> Deployment:
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=1)
    wanted = tiny_deployment(limits, ("f0", "f1"), gib=8, device="cuda:0")
    return wanted.model_copy(update={"options": options})


async def ask(url: str, model: str) -> Any:
    body = {"model": model, "prompt": [5, 6, 7], "max_tokens": 6, "temperature": 0}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/completions", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        return (await response.json())["choices"][0]["text"]


@pytest.fixture(scope="module")
def texts() -> dict[str, Any]:
    return {}


def answers(system: ServingSystem, options: dict[str, Any]) -> tuple[Any, int]:
    endpoint = system.deploy(deployment(options))
    found = tuple(asyncio.run(ask(endpoint.base_url, name)) for name in ("f0", "f1"))
    return found, endpoint.pids[0]


@pytest.mark.parametrize("sharing", ["descriptor", "cuda-ipc"])
def test_it_answers_and_audits_find_no_change(sharing: str, texts: dict[str, Any]) -> None:
    with system_class("serverless-lora")() as system:
        options = {"cuda_sharing": sharing, "audit_s": 0.5}
        texts[sharing], _ = answers(system, options)
        wait_until(lambda: system.system_trace().measured["audits"] >= 3, 30)
        system_trace = system.system_trace()
    assert system_trace.problems == ()
    assert system_trace.measured["audits_changed"] == system_trace.measured["audits_failed"] == 0
    assert bool(system.info().isolation_gaps) == (sharing == "cuda-ipc")
    assert len(set(texts.values())) == 1, "the same tokens however it is shared"


def test_by_ipc_the_loader_stays_and_goes_with_the_copy() -> None:
    with system_class("serverless-lora")() as system:
        options = {
            "cuda_sharing": "cuda-ipc",
            "shared_keep_alive_s": 4,
            "container_keep_alive_s": 0,
        }
        _, gateway = answers(system, options)

        def forks() -> int:
            return len(psutil.Process(gateway).children(recursive=True)) - 1

        wait_until(lambda: forks() == 1, 30)
        time.sleep(1)
        assert forks() == 1, "only the loader is left after the instances ended"
        wait_until(lambda: forks() == 0, 30)


def test_mps_serves_and_is_gone_after_the_end() -> None:
    import shutil

    if shutil.which("nvidia-cuda-mps-control") is None:
        pytest.skip("no MPS here")
    with system_class("serverless-lora")() as system:
        answers(system, {"mps": True})
    assert any("MPS" in each for each in system.info().isolation_gaps)
    names = {process.name() for process in psutil.process_iter()}
    assert not {name for name in names if name.startswith("nvidia-cuda-mps")}
