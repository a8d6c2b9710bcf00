"""A stopped process is detected like a dead one; a process that only pauses is not ended."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from typing import Any

import aiohttp
import psutil
import pytest

from .conftest import Running

pytestmark = pytest.mark.live
Deploy = Callable[..., Running]
LONG = {"max_tokens": 480, "ignore_eos": True}
SILENCE_S = 5.0
"""Timeout of a silent and idle process, as in ARCHITECTURE.md and in the errors of callers."""
NOTICED_S = SILENCE_S + 120
"""The same with a margin for a loaded machine."""
PAUSE_S = 2.0


def _asked_after(running: Running, signals: Callable[[], Any]) -> tuple[Any, Any]:
    """The end of a request that ran at the fault, and the response to the next request."""

    async def ask() -> tuple[Any, Any]:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            doomed = await running.begin(session, "f0", **LONG)
            await signals()
            first = await asyncio.wait_for(doomed, NOTICED_S)
            return first, await running.ask(session, "f0")

    return asyncio.run(ask())


def test_a_stopped_instance_is_noticed_and_replaced(up: Deploy) -> None:
    running = up()

    async def stop() -> None:
        running.instances()[0].suspend()

    doomed, after = _asked_after(running, stop)
    assert doomed is not None
    assert doomed["code"] == "502"
    assert "silent for 5 s" in doomed["message"]
    assert after["status"] == 200


def test_a_stopped_template_is_noticed_and_replaced(up: Deploy) -> None:
    """No call has woken f1 yet, which needs a fork."""
    running = up()

    async def stop() -> None:
        psutil.Process(running.instances()[0].ppid()).suspend()

    async def ask_another() -> Any:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            await stop()
            return await asyncio.wait_for(running.ask(session, "f1"), NOTICED_S)

    assert asyncio.run(ask_another())["status"] == 200


def test_one_that_pauses_keeps_its_requests(up: Deploy) -> None:
    running = up()

    async def pause() -> None:
        instance = running.instances()[0]
        instance.suspend()
        await asyncio.sleep(PAUSE_S)
        instance.resume()

    error, after = _asked_after(running, pause)
    assert error is None
    assert after["status"] == 200


def test_a_gateway_that_was_stopped_blames_nobody(up: Deploy) -> None:
    running = up()

    async def pause() -> None:
        gateway = psutil.Process(running.endpoint.pids[0])
        gateway.send_signal(signal.SIGSTOP)
        await asyncio.sleep(SILENCE_S + 1)
        gateway.send_signal(signal.SIGCONT)

    error, after = _asked_after(running, pause)
    assert error is None
    assert after["status"] == 200


def test_a_gateway_past_a_limit_fails_requests_and_serves_on(deploy: Deploy) -> None:
    running = deploy()
    gateway = running.endpoint.pids[0]

    async def ask() -> Any:
        async with aiohttp.ClientSession() as session:
            for limit, low in ((resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_FSIZE, 1)):
                before = resource.prlimit(gateway, limit)
                async with session.get(f"{running.url}/v1/models"):
                    resource.prlimit(gateway, limit, (low, before[1]))
                refused = await asyncio.wait_for(running.ask(session, "f0"), 120)
                resource.prlimit(gateway, limit, before)
                assert refused["status"] == 503
                assert "cannot start" in refused["error"]["message"]
            return await running.ask(session, "f0")

    assert asyncio.run(ask())["status"] == 200
