"""Time that the HTTP server takes for a token of each of many streams, as after a decode step."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

from pytest_benchmark.fixture import BenchmarkFixture

from systems.interface import Deployment
from systems.runtime.calls import Tokens
from tests.systems.runtime.http.endpoint import Endpoint, endpoint

STREAMS, STEPS = 128, 200
TOKEN = Tokens((70,), None)


def test_a_token_for_each_of_many_streams(
    benchmark: BenchmarkFixture, deployment: Deployment
) -> None:
    with asyncio.Runner() as runner:
        context = endpoint(deployment, answers=(TOKEN,))
        at = runner.run(context.__aenter__())
        streams = [_stream(at) for _ in range(STREAMS)]
        runner.run(_until(lambda: len(at.backend.calls) == STREAMS))
        runner.run(_turns())

        def step() -> None:
            for call in at.backend.calls:
                call.answers.put(TOKEN)
            runner.run(_turns())

        try:
            benchmark.pedantic(step, rounds=STEPS)
            assert all(b"data: " in stream.recv(1 << 16) for stream in streams)
        finally:
            for stream in streams:
                stream.close()
            runner.run(context.__aexit__(None, None, None))


def _stream(at: Endpoint) -> socket.socket:
    """Send a request whose answer is read only at the end: the socket holds it."""
    body = json.dumps(
        {"model": "f0", "prompt": [5], "max_tokens": 2 * STEPS, "stream": True}
    ).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    stream = socket.create_connection(at.address)
    stream.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return stream


async def _turns() -> None:
    """Let readers run, and the writes that they ask for."""
    for _ in range(3):
        await asyncio.sleep(0)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)
