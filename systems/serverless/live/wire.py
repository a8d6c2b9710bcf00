"""Messages between the gateway and its processes: JSON over Unix sequenced-packet sockets.

A packet is a whole message and may carry file descriptors. JSON rather than pickle: an instance
runs a tenant's adapter, and nothing it says may run in the gateway.
"""

from __future__ import annotations

import array
import asyncio
import json
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Message = dict[str, Any]

_BUFFER = 4 << 20
_MAX_FDS = 4

# Made once: to ask the allocator for the longest packet at every message leaves ever more of the
# heap in pieces. One for all channels: a process reads them in one thread, message by message.
_incoming = memoryview(bytearray(_BUFFER))


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, with room for prompts of a hundred thousand tokens in flight."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return ends


def _pack(kind: str, fields: Message) -> bytes:
    return json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    length, ancillary, message_flags, _ = sock.recvmsg_into(
        [_incoming], socket.CMSG_LEN(_MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    if message_flags & socket.MSG_TRUNC:
        raise ConnectionError(f"a message of more than {_BUFFER} bytes")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return bytes(_incoming[:length]), list(fds)


def _transmit(sock: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    if fds:
        socket.send_fds(sock, [data], fds)
    else:
        sock.send(data)


class Channel:
    """The blocking end, for a process that has nothing else to wait for."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, kind: str, fds: Sequence[int] = (), **fields: Any) -> None:
        _transmit(self._sock, _pack(kind, fields), fds)

    def receive(self, timeout_ms: int | None = None) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, or None after ``timeout_ms`` (None: no end).
        ``EOFError`` once the other end is closed."""
        if not self._poll.poll(timeout_ms):
            return None
        data, fds = _receive(self._sock)
        if not data:
            raise EOFError("the gateway is gone")
        return json.loads(data), fds

    def close(self) -> None:
        self._sock.close()


class AsyncChannel:
    """The gateway's end: callbacks on arrival, and a send that never blocks the loop."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, list[int]], None],
        on_close: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_close = on_close
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()
        self._open = True
        self._loop.add_reader(sock, self._readable)

    def send(self, kind: str, fds: Sequence[int] = (), **fields: Any) -> None:
        """Send now, or as soon as the other end has room; dropped once it is gone."""
        if self._open:
            self._outbox.append((_pack(kind, fields), fds))
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
        """Take at once whatever the other end had sent."""
        self._readable()

    def _readable(self) -> None:
        while self._open:
            try:
                data, fds = _receive(self._sock)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It ended with words of ours unread; what it had said before comes next.
                continue
            except OSError:
                data, fds = b"", []
            if not data:
                self.close()
                self._on_close()
                return
            self._on_message(json.loads(data), fds)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
