"""A gateway and a simulated platform reject the same requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from systems.interface import Deployment
from systems.runtime.http.api import Api
from systems.runtime.http.text import Text
from systems.runtime.journal import Journal
from systems.serverless.live.plan import make_plan
from systems.serverless.live.platform import Platform
from systems.serverless.options import Options
from systems.serverless.simulated.run import simulate
from systems.serverless_lora import ServerlessLoRA
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.profile import load_profile

CALLS = ("f0", "f1", "f0", "f0", "f2", "f0", "f1", "f3", "f3", "f1", "f0", "f2")
"""The functions that are called, one after another, before any of them answers."""


def simulated(deployment: Deployment) -> list[bool]:
    """Return which of the calls are rejected in virtual time."""
    arrivals = [Arrival(number, number, name, 3, 4) for number, name in enumerate(CALLS)]
    policies = ServerlessLoRA.policies(Options.model_validate(dict(deployment.options)))
    outcome = simulate(deployment, policies, load_profile("cpu-small"), OpenLoad(arrivals))
    statuses = [outcome.seen(number)["status"] for number in range(len(CALLS))]
    assert set(statuses) <= {"ok", "http_429"}
    return [status == "http_429" for status in statuses]


async def live(deployment: Deployment, folder: Path) -> list[bool]:
    """Return which of the calls the gateway rejects. It has no node, so that none is answered."""
    options = Options.model_validate(dict(deployment.options))
    policies = ServerlessLoRA.policies(options)
    platform = Platform(make_plan(deployment, forks=True), policies, Journal(folder / "journal"))
    texts = {name: Text(path) for name, path in deployment.backbones.items()}
    app = Api(platform, texts, limits=options.caller_limits).application()
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession(f"http://{host}:{port}") as session:
            return await _rejected(session, platform, CALLS)
    finally:
        await runner.cleanup()


async def _rejected(session: ClientSession, platform: Platform, calls: Sequence[str]) -> list[bool]:
    async def status(function: str) -> int:
        fields = {"model": function, "prompt": [5, 6, 7], "max_tokens": 4}
        async with session.post("/v1/completions", json=fields) as response:
            assert int(response.headers["Retry-After"]) >= 1
            return response.status

    tasks: list[asyncio.Task[int]] = []
    for number, function in enumerate(calls):
        tasks.append(asyncio.create_task(status(function)))
        while not tasks[-1].done():
            waiting = platform.controller.state.requests
            if len(waiting) + sum(task.done() for task in tasks) > number:
                break
            await asyncio.sleep(0)
    found = [task.done() for task in tasks]
    assert {task.result() for task in tasks if task.done()} <= {429}
    for task in tasks:
        task.cancel()
    return found


@pytest.mark.parametrize(
    ("options", "rejected"),
    [
        ({}, 0),
        ({"function_in_flight": 2}, 4),
        ({"function_waiting": 3}, 2),
        ({"function_rate": 0.001, "function_burst": 1}, 8),
        ({"caller_in_flight": 5}, 7),
        ({"caller_rate": 0.001, "caller_burst": 7}, 5),
        ({"function_in_flight": 2, "caller_in_flight": 6}, 6),
    ],
    ids=str,
)
def test_live_and_simulated_platforms_reject_the_same_requests(
    options: dict[str, Any], rejected: int, deployment: Deployment, tmp_path: Path
) -> None:
    limited = deployment.model_copy(update={"options": options})
    found = simulated(limited)
    assert sum(found) == rejected
    assert asyncio.run(live(limited, tmp_path)) == found
