"""Limits of each caller: one that floods the endpoint is rejected before its requests are read, and
others are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession

from systems.access import AccessTokens
from systems.interface import Deployment
from systems.request_limits import RequestLimits
from systems.runtime.calls import Call
from systems.runtime.metrics import Metrics

from .endpoint import ANSWER, Endpoint, endpoint

ONE, TWO = "one-0123456789abcdef", "two-0123456789abcdef"
TWO_AT_ONCE = RequestLimits(in_flight=2)
Scene = Callable[[Endpoint], Awaitable[Any]]


def tokens(tmp_path: Any) -> AccessTokens:
    path = tmp_path / "tokens.toml"
    path.write_text(f'"*" = ["{ONE}", "{TWO}"]\n', encoding="utf-8")
    path.chmod(0o600)
    return AccessTokens.read(path)


def played(
    deployment: Deployment,
    scene: Scene,
    limits: RequestLimits,
    access: AccessTokens | None = None,
    metrics: Metrics | None = None,
) -> Any:
    """Return the result of ``scene`` at an endpoint that answers when told to."""

    async def play() -> Any:
        async with endpoint(deployment, (), tokens=access, metrics=metrics, limits=limits) as at:
            return await asyncio.wait_for(scene(at), 20)

    return asyncio.run(play())


def answer(call: Call) -> None:
    for part in ANSWER:
        call.answers.put(part)


async def under_way(at: Endpoint, count: int, token: str | None = None) -> list[asyncio.Task[Any]]:
    """Begin requests, and return them once the endpoint has all of them."""
    before = len(at.backend.calls)
    tasks = [asyncio.create_task(at.ask(token=token)) for _ in range(count)]
    while len(at.backend.calls) < before + count:
        await asyncio.sleep(0)
    return tasks


def test_a_flood_of_one_caller_is_rejected_and_another_is_served(
    deployment: Deployment, tmp_path: Any
) -> None:
    async def scene(at: Endpoint) -> None:
        running = await under_way(at, 2, ONE)
        flood = await asyncio.gather(*(at.ask(token=ONE) for _ in range(50)))
        assert {status for status, _ in flood} == {429}
        assert len(at.backend.calls) == 2, "what is rejected reaches no platform"
        running += await under_way(at, 1, TWO)
        for call in at.backend.calls:
            answer(call)
        assert [status for status, _ in await asyncio.gather(*running)] == [200] * 3
        running = await under_way(at, 2, ONE)
        for call in at.backend.calls[3:]:
            answer(call)
        assert [status for status, _ in await asyncio.gather(*running)] == [200] * 2

    played(deployment, scene, TWO_AT_ONCE, tokens(tmp_path))


def test_a_rejection_is_an_error_of_openais_form_with_a_time_to_retry(
    deployment: Deployment,
) -> None:
    async def scene(at: Endpoint) -> None:
        url = f"http://{at.address[0]}:{at.address[1]}/v1/completions"
        async with ClientSession() as session:
            begun = asyncio.create_task(at.ask())
            while not at.backend.calls:
                await asyncio.sleep(0)
            async with session.post(url, data=b"not even JSON") as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "10"
                assert await response.json() == {
                    "error": {
                        "message": "this caller has reached its limit of 0.1 requests a second",
                        "type": "requests",
                        "param": None,
                        "code": "rate_limit_exceeded",
                    }
                }
        begun.cancel()

    played(deployment, scene, RequestLimits(rate_per_s=0.1))


def test_without_tokens_nobody_becomes_another_caller(deployment: Deployment) -> None:
    metrics = Metrics()

    async def scene(at: Endpoint) -> None:
        running = await under_way(at, 2)
        flood = await asyncio.gather(*(at.ask(token=f"made-up-{n}") for n in range(20)))
        assert {status for status, _ in flood} == {429}
        for task in running:
            task.cancel()

    played(deployment, scene, TWO_AT_ONCE, metrics=metrics)
    assert b"slbench_rejected_total 20.0" in metrics.text()


def test_a_caller_that_leaves_may_call_again(deployment: Deployment) -> None:
    async def scene(at: Endpoint) -> None:
        for _ in range(3):
            for task in await under_way(at, 2):
                task.cancel()
            while at.connections():
                await asyncio.sleep(0.001)

    played(deployment, scene, TWO_AT_ONCE)
