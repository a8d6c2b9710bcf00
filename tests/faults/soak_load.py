"""The load of a soak."""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
import numpy as np

from workloads.popularity import LAWS

from . import stage
from .load import Answer, Request, ask
from .soak_plan import Plan, Watched

_AT_ONCE = 4
"""Requests in flight while every function is called once."""
_ENDS_S = 5.0
"""How long a run that is interrupted waits for responses."""


async def call_each(url: str, names: list[str]) -> None:
    """Call every function once. Raise ``RuntimeError`` if one fails."""
    start, limit_s = time.monotonic(), stage.REQUEST_TIMEOUT_S + 5
    async with aiohttp.ClientSession() as session:
        for first in range(0, len(names), _AT_ONCE):
            some = (Request(0.0, name, 8, True) for name in names[first : first + _AT_ONCE])
            coming = (ask(session, url, request, limit_s, start) for request in some)
            failed = [each for each in await asyncio.gather(*coming) if each.how != "ok"]
            if failed:
                raise RuntimeError(f"first call of {failed[0].function}: {failed[0].how}")


async def load(url: str, plan: Plan, watched: Watched, start: float, stop: asyncio.Event) -> None:
    """Send at a constant rate (open loop), each request to a randomly drawn function, until it is
    time or ``stop`` is set."""
    random, names = np.random.default_rng(plan.seed), plan.names
    shares = LAWS[plan.popularity]().shares(plan.functions)
    tasks = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(int(plan.minutes * 60 * plan.rate)):
            request = Request(number / plan.rate, str(random.choice(names, p=shares)), 8, True)
            if await _stopped(stop, start + request.at_s - time.monotonic()):
                break
            coming = ask(session, url, request, stage.REQUEST_TIMEOUT_S + 5, start)
            tasks.append(asyncio.create_task(coming))
        watched.seconds, watched.interrupted = time.monotonic() - start, stop.is_set()
        done, running = await _ended(tasks, stop)
        for task in running:
            task.cancel()
    watched.answers, watched.unfinished = [task.result() for task in done], len(running)


async def _stopped(stop: asyncio.Event, after_s: float) -> bool:
    """Wait; return early, and whether so, if ``stop`` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(0.0, after_s))
    return stop.is_set()


async def _ended(
    tasks: list[asyncio.Task[Answer]], stop: asyncio.Event
) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    """Wait for all responses, for a short time only once ``stop`` is set; return those that came
    and those that did not."""
    done, running = set(tasks), set[asyncio.Task[Answer]]()
    while tasks:
        done, running = await asyncio.wait(tasks, timeout=_ENDS_S)
        if not running or stop.is_set():
            break
    return done, running
