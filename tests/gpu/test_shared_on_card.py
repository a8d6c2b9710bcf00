"""A whole platform on the card: all ways to share a backbone return the same tokens, are audited in
device memory and release their memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import psutil
import pytest

from systems.interface import Deployment, Device, Function, Limits, ServingSystem
from systems.models import ensure_adapters, ensure_backbone
from systems.registry import system_class


def deployment(options: dict[str, Any]) -> Deployment:
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, ["f0", "f1"], rank=8)
    return Deployment(
        functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in adapters),
        backbones={"tiny": tiny},
        dtype="float32",
        devices=(Device(name="cuda:0", memory_bytes=8 << 30),),
        limits=Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=1),
        options=options,
    )


async def ask(url: str, model: str) -> Any:
    body = {"model": model, "prompt": [5, 6, 7], "max_tokens": 6, "temperature": 0}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/completions", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        return (await response.json())["choices"][0]["text"]


def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.05)


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
        until(lambda: system.evidence().measured["audits"] >= 3)
        evidence = system.evidence()
    assert evidence.problems == ()
    assert evidence.measured["audits_changed"] == evidence.measured["audits_failed"] == 0
    assert bool(system.info().exposures) == (sharing == "cuda-ipc")
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

        until(lambda: forks() == 1)
        time.sleep(1)
        assert forks() == 1, "only the loader is left after the instances ended"
        until(lambda: forks() == 0)


def test_mps_serves_and_is_gone_after_the_end() -> None:
    import shutil

    if shutil.which("nvidia-cuda-mps-control") is None:
        pytest.skip("no MPS here")
    with system_class("serverless-lora")() as system:
        answers(system, {"mps": True})
    assert any("MPS" in each for each in system.info().exposures)
    names = {process.name() for process in psutil.process_iter()}
    assert not {name for name in names if name.startswith("nvidia-cuda-mps")}
