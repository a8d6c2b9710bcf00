"""Clients that do not come to the point are not waited for; those that do are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from systems.serverless.live import api, patience

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def served(
    monkeypatch: pytest.MonkeyPatch,
    handler: Any,
    client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]],
) -> Any:
    """What ``client`` gives, on a connection to a server that waits for a moment only."""
    for name in ("HEADERS_S", "BODY_S"):
        monkeypatch.setattr(patience, name, 0.2)

    async def serve() -> Any:
        app = web.Application(middlewares=[api._errors_as_openai])
        app.router.add_route("*", "/", handler)
        runner = patience.PatientRunner(app, access_log=None)
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
    return web.Response(body=await api._body_of(request))


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


def test_half_a_body_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf")
        return await reader.readuntil(b"}}")

    answer = served(monkeypatch, with_body, half)
    assert b"408" in answer.split(b"\r\n")[0]
    assert b"body_too_slow" in answer
