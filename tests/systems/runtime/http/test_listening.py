"""An application is served at its address, or the line that refuses names the address."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import ClientSession, web

from systems.errors import DeploymentError
from systems.runtime.http.listening import listening


async def _here(_: web.Request) -> web.Response:
    return web.Response()


async def _status(path: str) -> int:
    app = web.Application()
    app.router.add_get("/here", _here)
    async with (
        listening(app, "127.0.0.1", 0) as port,
        ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get(path) as response,
    ):
        return response.status


def test_it_is_served_at_the_port_that_is_told() -> None:
    assert asyncio.run(_status("/here")) == 200
    assert asyncio.run(_status("/elsewhere")) == 404


async def _listen(port: int) -> None:
    async with listening(web.Application(), "127.0.0.1", port):
        raise OSError("of what is served")


def test_an_address_in_use_is_named_and_other_errors_are_not_taken_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: "):
            asyncio.run(_listen(port))
    with pytest.raises(OSError, match=r"^of what is served$"):
        asyncio.run(_listen(0))


async def _connected(count: int) -> int:
    """Return how many connections are made while the event loop is busy, as this keeps it."""
    async with listening(web.Application(), "127.0.0.1", 0) as port:
        for made in range(count):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
            except TimeoutError:
                return made
    return count


def test_callers_that_come_while_the_loop_is_busy_are_not_dropped() -> None:
    """With asyncio's 128 places the 130th waited for a second, others for up to twenty."""
    assert asyncio.run(_connected(1000)) == 1000
