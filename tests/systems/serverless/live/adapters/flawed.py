"""Parsers that a tenant's file has taken over: they run in place of the real one.

Each has the real parser's messages. Each has its sandbox too, except ``FREE``, which shows that the
attacks work without one, and ``LEAVING``, which shows what the seal prevents.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systems.engine import adapter
from systems.errors import AdapterError
from systems.runtime import process, zygote
from systems.runtime.channel import Channel
from systems.runtime.roles import Role
from systems.runtime.sandbox import confine
from systems.serverless.live.adapters import parser
from systems.serverless.live.adapters.messages import (
    PARSER_HEARS,
    PARSER_SAYS,
    ParseAdapter,
    Parsed,
)
from systems.serverless.live.roles import PARSER
from systems.serverless.live.weights import store
from tests.systems.serverless.live.attacks import ATTACKS, attempt

ORDERS = "orders.json"
"""A file in the adapter's folder: attacks and their victims."""
LEASH = "leash"
"""A named pipe in the adapter's folder: what a parser left behind ends when it is written to."""


def _memory_file() -> int:
    """Find the descriptor of the memory file, as code that took the parser over could."""
    found = (int(fd) for fd in os.listdir("/proc/self/fd"))
    return next(fd for fd in found if "memfd:adapter" in _target(fd))


def _target(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""  # the descriptor of the listing itself


def _exploit(folder: Path, *rest: Any) -> None:
    """Attack in place of reading the adapter; the outcomes are the reason of the failure."""
    orders = json.loads((folder / ORDERS).read_text(encoding="utf-8"))
    outcomes = {attack: attempt(attack, victim) for attack, victim in orders.items()}
    raise AdapterError(json.dumps(outcomes))


def _grow(victim: dict[str, Any]) -> None:
    """Write past the end of the memory file: such memory counts for no process."""
    os.pwrite(_memory_file(), b"x", victim["nbytes"])


ATTACKS["grow"] = _grow


def _attacking(channel: Channel) -> int:
    adapter.read_adapter = _exploit  # type: ignore[assignment]
    return parser.main(channel)


def _attacking_freely(channel: Channel) -> int:
    confine.settle_in = lambda *rest: None  # type: ignore[assignment]
    return _attacking(channel)


def _hear(channel: Channel) -> tuple[ParseAdapter, int]:
    received = channel.receive()
    assert received is not None
    message, (fd,) = received
    assert isinstance(message, ParseAdapter)
    return message, fd


def _leaving(channel: Channel) -> int:
    """Leave a process that keeps a writable mapping."""
    message, fd = _hear(channel)
    mapping = store.map_writable(fd)
    if os.fork() == 0:
        signal.alarm(60)
        with open(Path(message.folder) / LEASH, "rb") as leash:
            leash.read()
        mapping[0] = 255
        os._exit(0)
    channel.send(Parsed())
    return 0


def _lingering(channel: Channel) -> int:
    """Keep a writable mapping and do not end."""
    _, fd = _hear(channel)
    with store.map_writable(fd):
        channel.send(Parsed())
        signal.pause()
    return 0


def _sealing(channel: Channel) -> int:
    """Forbid the platform to seal the file against writes."""
    _, fd = _hear(channel)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    channel.send(Parsed())
    return 0


def _silent(channel: Channel) -> int:
    _hear(channel)
    signal.pause()
    return 0


def _busy(channel: Channel) -> int:
    _hear(channel)
    while True:
        pass


def _crashing(channel: Channel) -> int:
    """Say that all is well, then crash."""
    _hear(channel)
    channel.send(Parsed())
    ctypes.string_at(0)
    return 0


def _repeating(channel: Channel) -> int:
    _hear(channel)
    channel.send(Parsed())
    channel.send(Parsed())
    return 0


def _saying_nothing(channel: Channel) -> int:
    _hear(channel)
    return 0


def _saying_something_else(channel: Channel) -> int:
    _hear(channel)
    os.write(channel.fileno(), b'{"kind": "loaded", "artifact": "adapter"}')
    signal.pause()
    return 0


_MODULE = "tests.systems.serverless.live.adapters.flawed"


def _role(name: str, main: Callable[[Channel], int], shut_in: Callable[[str], None]) -> Role:
    return Role(name, _MODULE, PARSER_SAYS, PARSER_HEARS, main, shut_in)


ATTACKING = _role("attacking", _attacking, parser.shut_in)
FREE = _role("free", _attacking_freely, lambda device: None)
LEAVING = _role("leaving", _leaving, lambda device: None)
LINGERING = _role("lingering", _lingering, parser.shut_in)
SEALING = _role("sealing", _sealing, parser.shut_in)
SILENT = _role("silent", _silent, parser.shut_in)
BUSY = _role("busy", _busy, parser.shut_in)
CRASHING = _role("crashing", _crashing, parser.shut_in)
REPEATING = _role("repeating", _repeating, parser.shut_in)
SAYING_NOTHING = _role("saying nothing", _saying_nothing, parser.shut_in)
SAYING_SOMETHING_ELSE = _role("saying something else", _saying_something_else, parser.shut_in)

TEMPLATE = zygote.role_of(
    _MODULE,
    PARSER,
    ATTACKING,
    FREE,
    LEAVING,
    LINGERING,
    SEALING,
    SILENT,
    BUSY,
    CRASHING,
    REPEATING,
    SAYING_NOTHING,
    SAYING_SOMETHING_ELSE,
)

if __name__ == "__main__":
    process.main(TEMPLATE)
