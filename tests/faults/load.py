"""Open-loop load on an endpoint; returns one outcome for each request that was sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``at_s``: seconds after the start of the load."""

    at_s: float
    function: str
    tokens: int
    stream: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of a request. ``how``: ok, short, http_NNN, error_event, cut, refused, or timeout
    (the client's own timeout)."""

    function: str
    sent_s: float
    took_s: float
    how: str
    first_s: float | None = None
    """Seconds to the first token of a streamed response."""

    @property
    def ended_s(self) -> float:
        return self.sent_s + self.took_s


def poisson(
    random: np.random.Generator, functions: Sequence[str], rate_rps: float, seconds: float
) -> list[Request]:
    """Draw Poisson arrivals: functions with equal probability, short and long, half streamed."""
    count = int(random.poisson(rate_rps * seconds))
    return [
        Request(
            at_s=float(at_s),
            function=str(random.choice(list(functions))),
            tokens=int(random.integers(2, 96)),
            stream=bool(random.integers(2)),
        )
        for at_s in np.sort(random.uniform(0, seconds, count))
    ]


async def send_all(
    url: str, requests: Sequence[Request], limit_s: float, start: float
) -> list[Answer]:
    """Send each request at its time after ``start`` (``time.monotonic``), in open loop."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        return await asyncio.gather(
            *(_at(session, url, request, limit_s, start) for request in requests)
        )


async def _at(
    session: aiohttp.ClientSession, url: str, request: Request, limit_s: float, start: float
) -> Answer:
    await asyncio.sleep(max(0.0, start + request.at_s - time.monotonic()))
    return await ask(session, url, request, limit_s, start)


async def ask(
    session: aiohttp.ClientSession, url: str, request: Request, limit_s: float, start: float
) -> Answer:
    sent = time.monotonic()
    first: list[float] = []
    try:
        async with asyncio.timeout(limit_s):
            how = await _exchange(session, url, request, first)
    except TimeoutError:
        how = "timeout"
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError):
        how = "cut"
    except (aiohttp.ClientConnectorError, aiohttp.ClientOSError):
        how = "refused"
    first_s = first[0] - sent if first else None
    return Answer(request.function, sent - start, time.monotonic() - sent, how, first_s)


async def _exchange(
    session: aiohttp.ClientSession, url: str, request: Request, first: list[float]
) -> str:
    async with session.post(f"{url}/v1/completions", json=body_of(request)) as response:
        if response.status != 200:
            await response.read()
            return f"http_{response.status}"
        if request.stream:
            return _verdict(await _read_stream(response, first), request)
        return _counted((await response.json())["usage"], request)


def body_of(request: Request) -> dict[str, Any]:
    return {
        "model": request.function,
        "prompt": [5, 6, 7, 8],
        "max_tokens": request.tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": request.stream,
        "stream_options": {"include_usage": True},
    }


async def _read_stream(response: aiohttp.ClientResponse, first: list[float]) -> list[str]:
    raw = b""
    async for chunk in response.content.iter_any():
        if not first:
            first.append(time.monotonic())
        raw += chunk
    return [line[6:] for line in raw.decode().split("\n\n") if line.startswith("data: ")]


def _verdict(events: list[str], request: Request) -> str:
    if not events or events[-1] != "[DONE]":
        return "error_event" if events and "error" in json.loads(events[-1]) else "cut"
    return _counted(json.loads(events[-2])["usage"], request)


def _counted(usage: dict[str, int], request: Request) -> str:
    """Return ok, or "short" for a response with a wrong number of tokens."""
    return "ok" if usage["completion_tokens"] == request.tokens else "short"
