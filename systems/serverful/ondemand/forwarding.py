"""Sends a call to its server and the answer to its client, byte for byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from systems.runtime.http import timeouts

from .calls import ProxiedCall
from .first_text import DONE, FirstText

_OWN = frozenset(
    (
        *("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
        *("host", "date", "server", "content-length", "accept-encoding"),
    )
)
"""Headers of one connection, which are not passed on; and the answer is not compressed."""

Settle = Callable[[int], None]
"""Releases the call; takes the time at which the last bytes of its response are written."""


class UnansweredError(Exception):
    """The server did not answer the call. The message is one line."""


@asynccontextmanager
async def answer(
    session: aiohttp.ClientSession, base_url: str, request: web.Request, body: bytes
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send the request to the server and yield its response, headers read. Raise
    ``UnansweredError`` if there is none."""
    try:
        upstream = await session.post(
            base_url + request.path, data=body, headers=_passed_on(request.headers)
        )
    except aiohttp.ClientError as error:
        raise UnansweredError(f"the server does not answer ({type(error).__name__})") from error
    async with upstream:
        yield upstream


async def respond(
    request: web.Request, upstream: aiohttp.ClientResponse, call: ProxiedCall, settle: Settle
) -> web.StreamResponse:
    """Return the server's response once it is sent. If the server breaks off, so does this."""
    try:
        if upstream.content_type != "text/event-stream":
            body = await upstream.read()
            settle(time.monotonic_ns())
            headers = _passed_on(upstream.headers)
            return web.Response(body=body, status=upstream.status, headers=headers)
        return await _stream(request, upstream, call, settle)
    except (aiohttp.ClientError, asyncio.CancelledError) as error:
        timeouts.abort(request.protocol)
        if isinstance(error, asyncio.CancelledError):
            raise
        raise ConnectionResetError("the server broke off") from error


async def _stream(
    request: web.Request, upstream: aiohttp.ClientResponse, call: ProxiedCall, settle: Settle
) -> web.StreamResponse:
    response = web.StreamResponse(status=upstream.status, headers=_passed_on(upstream.headers))
    await response.prepare(request)
    text = FirstText()
    async for chunk in upstream.content.iter_any():
        now_ns = time.monotonic_ns()
        if text.feed(chunk):
            call.first_token_ns = call.first_token_ns or now_ns
            call.last_token_ns = now_ns
        if DONE in chunk:
            settle(time.monotonic_ns())
        await response.write(chunk)
    settle(time.monotonic_ns())
    await response.write_eof()
    return response


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OWN}
