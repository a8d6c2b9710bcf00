"""Arrival times of bytes from the kernel, so that a late read does not change them.

Linux timestamps each incoming segment and returns the stamp with the bytes (SO_TIMESTAMPNS,
socket(7); for TCP the stamp of the last segment read, since 4.14). All connections can then be read
together, every few milliseconds instead of at every event, and a reader that does not get the
processor still reports the right time.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from typing import Protocol

from ..errors import HarnessError

READ_EVERY_S = 0.002

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_CONTROL_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_READ_BYTES = 65_536
_MOST_ASKED = 5
_APART_NS = 2_000
"""Maximum time between two readings of one clock around a reading of the other, if nothing
interrupts them."""
_MOST_AT_ONCE = 8_192
_SECOND = 1_000_000_000
_TRIES, _TRY_EVERY_S = 100, 0.001
_CONNECT_S = 5.0


class Receiver(Protocol):
    """Receives the bytes of a socket."""

    def received(self, data: bytes, at_ns: int) -> None:
        """Called with bytes that arrived at ``at_ns`` on the monotonic clock."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Called at the end of input; ``exc`` is None if the other end closed normally."""


class Arrivals:
    """Reads all added sockets every ``READ_EVERY_S``, as long as there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._by_fd: dict[int, tuple[socket.socket, Receiver]] = {}
        self._fds: dict[Receiver, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._read_ns = 0

    def add(self, transport: asyncio.Transport, receiver: Receiver) -> None:
        """Take over reading from ``transport``, which still writes."""
        transport.pause_reading()
        own = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        own.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._by_fd[own.fileno()] = own, receiver
        self._fds[receiver] = own.fileno()
        self._epoll.register(own.fileno(), select.EPOLLIN)
        if self._timer is None:
            self._read_ns = time.monotonic_ns()
            self._timer = self._loop.call_later(READ_EVERY_S, self._read_all)

    def drop(self, receiver: Receiver) -> None:
        """Stop reading for ``receiver``; unknown receivers are ignored."""
        fd = self._fds.pop(receiver, None)
        if fd is not None:
            self._epoll.unregister(fd)
            self._by_fd.pop(fd)[0].close()

    def _read_all(self) -> None:
        now_ns = time.monotonic_ns()
        to_monotonic_ns = _wall_to_monotonic_ns()
        for fd, _ in self._epoll.poll(0, _MOST_AT_ONCE):
            entry = self._by_fd.get(fd)
            if entry is not None:
                self._read(*entry, to_monotonic_ns)
        self._read_ns = now_ns
        more = bool(self._by_fd)
        self._timer = self._loop.call_later(READ_EVERY_S, self._read_all) if more else None

    def _read(self, own: socket.socket, receiver: Receiver, to_monotonic_ns: int) -> None:
        try:
            data, control, _, _ = own.recvmsg(_READ_BYTES, _CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(receiver, error)
            return
        if not data:
            self._close(receiver, None)
        elif control:
            seconds, rest = _TIMESPEC.unpack(control[0][2])
            at_ns = seconds * _SECOND + rest + to_monotonic_ns
            # If the wall clock was set in between, the stamp would be hours off; clamp it.
            receiver.received(data, min(max(at_ns, self._read_ns), time.monotonic_ns()))
        else:  # the first bytes may arrive before stamps are enabled
            receiver.received(data, time.monotonic_ns())

    def _close(self, receiver: Receiver, error: Exception | None) -> None:
        self.drop(receiver)
        receiver.connection_lost(error)


def _wall_to_monotonic_ns() -> int:
    """Return the offset to add to wall-clock stamps. Measured at each call, because the wall clock
    may be slewed or set; and repeated after an interruption, since a wrong offset would place bytes
    before their own request."""
    for _ in range(_MOST_ASKED):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < _APART_NS:
            break
    return (before + after) // 2 - wall


def kernel_stamps() -> bool:
    """Check on a loopback connection whether this kernel timestamps TCP input. Stamps begin shortly
    after the first request and continue while a socket wants them, so one socket stays open for the
    life of this process. Raise ``HarnessError`` if this host cannot connect to itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            near = socket.create_connection(server.getsockname(), _CONNECT_S)
        except OSError as error:
            raise HarnessError(
                f"replay: this host cannot connect to itself ({error}); the loopback interface must"
                " be up: ip link set lo up"
            ) from error
        near.settimeout(None)
        far, _ = server.accept()
    try:
        near.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    stamped = any(_stamped(far, near) for _ in range(_TRIES))
    near.detach()
    far.close()
    return stamped


def _stamped(far: socket.socket, near: socket.socket) -> bool:
    time.sleep(_TRY_EVERY_S)
    far.send(b"?")
    return bool(near.recvmsg(1, _CONTROL_BYTES)[1])
