"""Clients that read slowly, send half a request, or disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import numpy as np

from .fault import Fault, Inflict, Undo
from .load import Request, body_of
from .stage import Stage

COUNT = 60


def half_open() -> Inflict:
    """Open connections, send nothing, half of the headers or half of the body, and keep them."""

    async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
        head, body = _message(Request(0, "f0", 8, stream=True))
        said = [b"", head[: len(head) // 2], head + body[: len(body) // 2]]
        return await _held([_connection(stage, said[n % 3]) for n in range(COUNT)])

    return inflict


def slow_readers() -> Inflict:
    """Request long streams with the smallest receive window, and read no byte of them."""

    async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
        message = b"".join(_message(Request(0, "f0", 480, stream=True)))
        return await _held([_connection(stage, message, window=1) for _ in range(COUNT // 4)])

    return inflict


def leavers() -> Inflict:
    """Request long streams and close the connection at once, every second time with a reset."""

    async def inflict(stage: Stage, random: np.random.Generator) -> None:
        message = b"".join(_message(Request(0, "f1", 480, stream=True)))
        for number in range(COUNT // 4):
            with contextlib.suppress(OSError):
                ours = _connection(stage, message)
                await asyncio.sleep(float(random.uniform(0, 0.03)))
                if number % 2:
                    linger = (1).to_bytes(4, "little") + bytes(4)
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                ours.close()

    return inflict


def _message(request: Request) -> tuple[bytes, bytes]:
    body = json.dumps(body_of(request)).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def _connection(stage: Stage, said: bytes, window: int | None = None) -> socket.socket:
    ours = socket.socket()
    if window is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    ours.connect(("127.0.0.1", stage.ports[-1]))
    ours.setblocking(False)
    ours.send(said)
    return ours


async def _held(connections: list[socket.socket]) -> Undo:
    def undo() -> None:
        for each in connections:
            each.close()

    return undo


def faults() -> list[Fault]:
    """The platform must answer all other requests while these clients hold their connections."""
    return [
        Fault("half-open clients", half_open(), frozenset(), 60, pause_s=2.0),
        Fault("slow readers", slow_readers(), frozenset(), 60, pause_s=2.0),
        Fault("clients that leave", leavers(), frozenset(), 60),
    ]
