"""When bytes reached this host, told by the kernel rather than by whoever gets round to reading.

Linux stamps a segment as it comes in and hands the stamp over with the bytes (SO_TIMESTAMPNS,
socket(7); for TCP that of the last segment read, since 4.14). Reading may then wait and be done
for all connections in one go: a wake-up every few milliseconds instead of one an event, and a
reader that is kept from its processor stamps no later.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from typing import Protocol

READ_EVERY_S = 0.002

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_CONTROL_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_READ_BYTES = 65_536
_MOST_ASKED = 5
_APART_NS = 2_000
"""Between two readings of one clock with the other's between, where nothing else came between."""
_MOST_AT_ONCE = 8_192
_SECOND = 1_000_000_000
_TRIES, _TRY_EVERY_S = 100, 0.001


class Receiver(Protocol):
    """Whom a socket's bytes are for."""

    def received(self, data: bytes, at_ns: int) -> None:
        """``at_ns`` on the monotonic clock."""

    def connection_lost(self, exc: Exception | None) -> None:
        """There will be no more; None where the other end closed in order."""


class Arrivals:
    """Reads every socket it is given each ``READ_EVERY_S``, while it has any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._by_fd: dict[int, tuple[socket.socket, Receiver]] = {}
        self._fds: dict[Receiver, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._read_ns = 0

    def add(self, transport: asyncio.Transport, receiver: Receiver) -> None:
        """Take the reading over from ``transport``, which goes on writing."""
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
        """Read no more for it; what it never was given is no error."""
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
            # Set in between, the wall clock would place it hours away from where it can have been.
            receiver.received(data, min(max(at_ns, self._read_ns), time.monotonic_ns()))
        else:  # the first bytes may have come before the stamps were asked for
            receiver.received(data, time.monotonic_ns())

    def _close(self, receiver: Receiver, error: Exception | None) -> None:
        self.drop(receiver)
        receiver.connection_lost(error)


def _wall_to_monotonic_ns() -> int:
    """What to add to the wall clock, which the stamps are on. Asked anew each time, since that may
    be slewed or set; and again where something came between, which would put bytes before their
    own sending."""
    for _ in range(_MOST_ASKED):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < _APART_NS:
            break
    return (before + after) // 2 - wall


def kernel_stamps() -> bool:
    """Whether this kernel stamps what comes in over TCP, tried on a connection to ourselves. It
    starts a moment after it was first asked to, and goes on while a socket wants it: ours, for as
    long as the process lives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
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
