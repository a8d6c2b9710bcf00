"""Packets that wait until the other end of a socket reads."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Sequence

from .packets import close_all, transmit

MOST_BYTES = 256 << 20
"""An instance that computes for a while has its running requests to read, each of at most 4 MiB."""
MOST_DESCRIPTORS = 128
"""Those of adapters; more fit into the socket's buffer before any waits here."""


class Outbox:
    """Packets for ``sock`` in order, with descriptors of its own. A process that is alive and reads
    nothing, as one that was taken over can be, would have them take all memory and descriptors of
    this one: so they are bounded."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._packets: deque[tuple[bytes, Sequence[int]]] = deque()
        self._bytes = self._descriptors = 0

    def __bool__(self) -> bool:
        return bool(self._packets)

    def put(self, packet: bytes, fds: Sequence[int]) -> None:
        """Keep a packet. Raise ``OSError`` if too much waits or no descriptor is left."""
        if (
            self._bytes + len(packet) > MOST_BYTES
            or self._descriptors + len(fds) > MOST_DESCRIPTORS
        ):
            raise OSError(errno.ENOBUFS, "it does not read those before")
        self._packets.append((packet, _duplicates(fds)))
        self._bytes += len(packet)
        self._descriptors += len(fds)

    def flush(self) -> None:
        """Send until none waits. Raise ``BlockingIOError`` if the other end has to read first, and
        another ``OSError`` if a packet cannot be sent."""
        while self._packets:
            transmit(self._sock, *self._packets[0])
            self._drop_first()

    def clear(self) -> None:
        """Drop all packets."""
        while self._packets:
            self._drop_first()

    def _drop_first(self) -> None:
        packet, fds = self._packets.popleft()
        self._bytes -= len(packet)
        self._descriptors -= len(fds)
        close_all(fds)


def _duplicates(fds: Sequence[int]) -> list[int]:
    """Duplicate all or none."""
    made: list[int] = []
    try:
        made.extend(map(os.dup, fds))
    except OSError:
        close_all(made)
        raise
    return made
