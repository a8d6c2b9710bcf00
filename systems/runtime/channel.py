"""Messages between the gateway and its processes: JSON over Unix sequenced-packet sockets.

A packet is a whole message and may carry file descriptors. JSON rather than pickle: an instance
runs a tenant's adapter, and nothing it says may run in the gateway, nor hold it: what comes is
bounded in length, in descriptors, and in how much of it is taken before others have their turn.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from .incoming import MOST_OF_A_MESSAGE, BadMessageError, Incoming
from .messages import Message

MESSAGES_A_TURN = 16
"""Taken from a process before the others, and callers, have their turn."""
_LOG = logging.getLogger(__name__)

# Made once: to ask the allocator for the longest packet at every message leaves ever more of the
# heap in pieces. One for all channels: a process reads them in one thread, message by message.
_buffer = memoryview(bytearray(MOST_OF_A_MESSAGE))
_encode = msgspec.json.Encoder().encode


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, with room for prompts of a hundred thousand tokens in flight."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_OF_A_MESSAGE)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_OF_A_MESSAGE)
    return ends


def _receive(sock: socket.socket, incoming: Incoming) -> tuple[bytes, list[int]]:
    """The next packet; ``BadMessageError`` for one that is longer or has more descriptors, none of
    which stays open."""
    fds = array.array("i")
    most_bytes, descriptors = incoming.most_bytes, incoming.descriptors
    room = socket.CMSG_LEN(descriptors * fds.itemsize) if descriptors else 0
    length, ancillary, message_flags, _ = sock.recvmsg_into(
        [_buffer[:most_bytes]], room, socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if message_flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(fds)
        long = message_flags & socket.MSG_TRUNC
        limit = f"{most_bytes} bytes" if long else f"{descriptors} descriptors"
        raise BadMessageError(f"a message of more than {limit}")
    return bytes(_buffer[:length]), list(fds)


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _transmit(sock: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    if fds:
        socket.send_fds(sock, [data], fds)
    else:
        sock.send(data)


class Channel:
    """The blocking end, for a process that has nothing else to wait for. ``incoming`` is what it
    may receive."""

    def __init__(self, sock: socket.socket, incoming: Incoming) -> None:
        self._sock = sock
        self._incoming = incoming
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        _transmit(self._sock, _encode(message), fds)

    def receive(self, timeout_ms: int | None = None) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, or None after ``timeout_ms`` (None: no end).
        ``EOFError`` once the other end is closed, ``BadMessageError`` for no message of these."""
        if not self._poll.poll(timeout_ms):
            return None
        data, fds = _receive(self._sock, self._incoming)
        if not data:
            raise EOFError("the gateway is gone")
        try:
            return self._incoming.decode(data), fds
        except BadMessageError:
            close_all(fds)
            raise

    def close(self) -> None:
        self._sock.close()


class AsyncChannel:
    """The gateway's end: callbacks on arrival, and a send that never blocks the loop.

    ``incoming`` is what the other end may say; ``on_message`` gets nothing else, and owns the
    descriptors that come along. ``on_close`` is called once, unless :meth:`close` came first: with
    an empty text where the other end hung up, else with what was wrong with what it said.
    """

    def __init__(
        self,
        sock: socket.socket,
        incoming: Incoming,
        on_message: Callable[[Message, list[int]], None],
        on_close: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = incoming
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_close = on_close
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()
        self._open = True
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now, or as soon as the other end has room; dropped once it is gone."""
        if self._open:
            self._outbox.append((_encode(message), fds))
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                _transmit(self._sock, *self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._flush)
            return
        except OSError:
            # The reader sees the end as well, and is the one to tell.
            self._outbox.clear()
        self._loop.remove_writer(self._sock)

    def drain(self) -> None:
        """Take at once whatever the other end had sent. Only of one that has ended: another could
        send without end."""
        while self._take():
            pass

    def _readable(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self._take():
                return

    def _take(self) -> bool:
        """Take one message; False where there is none now, or never will be."""
        if not self._open:
            return False
        try:
            data, fds = _receive(self._sock, self._incoming)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True  # It ended with words of ours unread; what it had said before comes next.
        except BadMessageError as error:
            self._hang_up(str(error))
            return False
        except OSError:
            data, fds = b"", []
        if data:
            self._hear(data, fds)
        else:
            self._hang_up("")
        return self._open

    def _hear(self, data: bytes, fds: list[int]) -> None:
        """Nothing that comes may raise out of here, where nobody would know whose it was."""
        try:
            message = self._incoming.decode(data)
        except BadMessageError as error:
            close_all(fds)
            self._hang_up(str(error))
            return
        try:
            self._on_message(message, fds)
        except BadMessageError as error:
            self._hang_up(str(error))
        except Exception as error:
            kind = type(message).__name__
            _LOG.exception("a message of kind %s cannot be taken", kind)
            self._hang_up(f"{kind}: {error!r}")

    def _hang_up(self, why: str) -> None:
        if self._open:
            self.close()
            self._on_close(why)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
