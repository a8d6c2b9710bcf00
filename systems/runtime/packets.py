"""Messages as packets of a Unix sequenced-packet socket.

A message of up to ``MOST_OF_A_PACKET`` bytes is a packet. A longer one is several, of which all but
the last say that more follow. A packet must fit into the send buffer, whose size the system limits
(net.core.wmem_max: 208 KiB by default), and takes memory of the kernel in one piece.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterable, Iterator, Sequence

from .incoming import MOST_OF_A_MESSAGE, BadMessageError, Incoming

MOST_OF_A_PACKET = 64 << 10
# The first byte of a part. JSON begins with neither.
_PART, _LAST = b"+", b"="

# Allocated once: an allocation of the longest packet for every message fragments the heap. One
# buffer serves all channels, because a process reads them in one thread, one message at a time.
_buffer = memoryview(bytearray(MOST_OF_A_MESSAGE))


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def most_of(sock: socket.socket) -> int:
    """Return the most bytes of a packet that ``sock`` sends, whatever buffer it was granted."""
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return min(MOST_OF_A_PACKET, granted // 2)


def split(data: bytes, most: int) -> Iterator[bytes]:
    """Yield the packets of a message, of at most ``most`` bytes each."""
    if len(data) <= most:
        yield data
        return
    step = most - 1
    for at in range(0, len(data), step):
        follow = at + step < len(data)
        yield (_PART if follow else _LAST) + data[at : at + step]


def transmit(sock: socket.socket, packet: bytes, fds: Sequence[int]) -> None:
    if fds:
        socket.send_fds(sock, [packet], fds)
    else:
        sock.send(packet)


class Inbox:
    """Joins the packets that ``sock`` receives to messages of ``incoming``'s length."""

    def __init__(self, sock: socket.socket, incoming: Incoming) -> None:
        self._sock, self._incoming = sock, incoming
        self._parts = bytearray()
        self.received = 0
        """Bytes of all packets so far."""

    def take(self) -> tuple[bytes, list[int]] | None:
        """Receive a packet. Return the message that is complete with it, and its descriptors; empty
        at the end of the connection; None if more follows. Raise ``BadMessageError`` if the message
        is too long or has too many descriptors; they are all closed then."""
        packet, fds = _receive(self._sock, self._incoming)
        self.received += len(packet)
        first = packet[:1]
        if first not in (_PART, _LAST):
            return packet, fds
        self._parts += packet[1:]
        if len(packet) == 1:
            close_all(fds)
            raise BadMessageError("an empty part of a message")
        if len(self._parts) > self._incoming.most_bytes:
            close_all(fds)
            raise _too_long(self._incoming)
        if first == _LAST:
            message, self._parts = bytes(self._parts), bytearray()
            return message, fds
        if fds:
            close_all(fds)
            raise BadMessageError("descriptors before the end of a message")
        return None


def _too_long(incoming: Incoming) -> BadMessageError:
    return BadMessageError(f"a message of more than {incoming.most_bytes} bytes")


def _receive(sock: socket.socket, incoming: Incoming) -> tuple[bytes, list[int]]:
    """Receive the next packet and its descriptors. Raise ``BadMessageError`` if it is too long or
    has too many descriptors; they are all closed then."""
    fds = array.array("i")
    descriptors = incoming.descriptors
    room = socket.CMSG_LEN(descriptors * fds.itemsize) if descriptors else 0
    length, ancillary, message_flags, _ = sock.recvmsg_into(
        [_buffer[: incoming.most_bytes]], room, socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if message_flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(fds)
        if message_flags & socket.MSG_TRUNC:
            raise _too_long(incoming)
        raise BadMessageError(f"a message of more than {descriptors} descriptors")
    return bytes(_buffer[:length]), list(fds)
