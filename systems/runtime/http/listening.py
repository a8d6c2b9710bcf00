"""Serves an application at an address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from systems.errors import DeploymentError

from .timeouts import PatientRunner

_SHUTDOWN_S = 0.5
_BACKLOG = 4096
"""Connections that wait to be accepted, which the event loop does between steps of many requests.
The kernel drops what exceeds it, and the caller tries again after 1 s, 3 s, 7 s; Linux allows 4096
by default."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve ``app`` while the block runs, and provide the port; ``port`` 0: any free one. Raise
    ``DeploymentError`` if the address cannot be listened on."""
    runner = PatientRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
    )
    try:
        await runner.setup()
        await _listen(runner, host, port)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _listen(runner: PatientRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        raise DeploymentError(
            f"cannot listen on {host}:{port}: {error.strerror or error};"
            " choose another port, or 0 for a free one"
        ) from error
