"""Connections of stalled clients time out; those of active clients do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from systems.interface import Deployment
from systems.runtime.calls import Tokens
from systems.runtime.http import body, timeouts
from systems.runtime.http.errors import errors_as_openai
from systems.runtime.http.text import Text

from .endpoint import endpoint

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def served(
    monkeypatch: pytest.MonkeyPatch,
    handler: Any,
    client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]],
) -> Any:
    """The result of ``client`` on a connection to a server with short timeouts."""
    for name in ("HEADERS_S", "BODY_S"):
        monkeypatch.setattr(timeouts, name, 0.2)

    async def serve() -> Any:
        app = web.Application(middlewares=[errors_as_openai])
        app.router.add_route("*", "/", handler)
        runner = timeouts.PatientRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        try:
            return await asyncio.wait_for(client(reader, writer), 20)
        finally:
            writer.close()
            await runner.cleanup()

    return asyncio.run(serve())


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def with_body(request: web.Request) -> web.Response:
    return web.Response(body=await body.read(request))


@pytest.mark.parametrize("said", [b"", REQUEST[:9], REQUEST[:-2]])
def test_a_connection_on_which_no_request_comes_is_closed(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(said)
        return await reader.read()

    assert served(monkeypatch, hello, silent) == b""


def test_one_that_said_what_it_wants_may_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        heard = b""
        for _ in range(2):
            writer.write(REQUEST)
            heard += await reader.readuntil(b"hello")
            await asyncio.sleep(0.4)
        return heard.count(b"200 OK")

    assert served(monkeypatch, hello, twice) == 2


@pytest.mark.parametrize("said", [b"", REQUEST[:-2]])
def test_it_may_not_rest_for_ever(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(timeouts, "IDLE_S", 0.2)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(REQUEST)
        await reader.readuntil(b"hello")
        writer.write(said)
        return await reader.read()

    assert served(monkeypatch, hello, once) == b""


def test_a_body_that_comes_after_its_answer_is_no_reason_to_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeouts, "IDLE_S", 0.2)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n")
        await reader.readuntil(b"hello")
        writer.write(b"body")
        return await reader.read()

    assert served(monkeypatch, hello, late) == b""


def test_an_answer_that_takes_longer_than_any_of_this_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("IDLE_S", "WRITE_S"):
        monkeypatch.setattr(timeouts, name, 0.1)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response(text="hello")

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(REQUEST)
        return await reader.readuntil(b"hello")

    assert served(monkeypatch, slow, patient).endswith(b"hello")


def test_half_a_body_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf")
        return await reader.readuntil(b"}}")

    answer = served(monkeypatch, with_body, half)
    assert b"408" in answer.split(b"\r\n")[0]
    assert b"body_too_slow" in answer


STATES = {
    "said nothing": b"",
    "said half of what it wants": REQUEST[:9],
    "had an answer": REQUEST,
    "owes half a body": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf",
}


@pytest.mark.parametrize("state", STATES)
def test_only_so_many_connections_are_waited_for_and_the_oldest_goes_first(
    monkeypatch: pytest.MonkeyPatch, deployment: Deployment, state: str
) -> None:
    monkeypatch.setattr(timeouts, "MOST_WAITING", 3)
    said = (
        STATES[state].replace(b"GET /", b"GET /health").replace(b"POST /", b"POST /v1/completions")
    )

    async def crowd() -> list[bool]:
        async with endpoint(deployment) as at:
            opened = []
            for _ in range(5):
                reader, writer = await asyncio.open_connection(*at.address)
                opened.append((reader, writer))
                writer.write(said)
                await asyncio.sleep(0.02)
            ended = [await _ended(reader) for reader, _ in opened]
            for _, writer in opened:
                writer.close()
            return ended

    assert asyncio.run(crowd()) == [True, True, False, False, False]


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Read all remaining data; return whether the other end has closed."""
    try:
        async with asyncio.timeout(0.1):
            await reader.read()
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_connections_that_ended_are_not_counted(
    monkeypatch: pytest.MonkeyPatch, deployment: Deployment
) -> None:
    monkeypatch.setattr(timeouts, "MOST_WAITING", 3)

    async def come_and_go() -> bool:
        async with endpoint(deployment) as at:
            reader, writer = await asyncio.open_connection(*at.address)
            for _ in range(5):
                _, other = await asyncio.open_connection(*at.address)
                other.close()
                await other.wait_closed()
            ended = await _ended(reader)
            writer.close()
            return ended

    assert not asyncio.run(come_and_go())


class Loud(Text):
    """Each of its tokens is a megabyte of text, which soon fills the socket buffers."""

    def decoder(self, *, skip_special: bool) -> Any:
        return SimpleNamespace(text=lambda token: "x" * (1 << 20))


def test_a_client_that_does_not_read_its_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, deployment: Deployment, tiny: Path
) -> None:
    """The server closes the connection at once and drops the unsent data."""
    monkeypatch.setattr(timeouts, "WRITE_S", 0.1)
    limits = deployment.limits.model_copy(update={"request_timeout_s": 0.1})
    short = deployment.model_copy(update={"limits": limits})
    body = b'{"model": "f0", "prompt": [5], "stream": true}'
    head = f"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"

    async def ask() -> int:
        async with endpoint(short, (Tokens((70,), None),) * 20, {"tiny": Loud(tiny)}) as at:
            _, writer = await asyncio.open_connection(*at.address, limit=1 << 10)
            writer.write(head.encode() + body)
            async with asyncio.timeout(10):
                while not at.backend.calls or not at.backend.calls[0].settled:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)
            left = at.connections()
            writer.close()
            return left

    assert asyncio.run(ask()) == 0
