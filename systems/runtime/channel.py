"""Messages between the gateway and its processes: JSON over Unix sequenced-packet sockets.

A packet is a whole message and may carry file descriptors. The format is JSON, not pickle: an
instance runs a tenant's adapter, so its messages must not execute code in the gateway or block it.
The receiver limits their length, their descriptors, and how many it reads in one turn.
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
"""Messages read from one process before the event loop serves other processes and callers."""
_LOG = logging.getLogger(__name__)

# Allocated once: an allocation of the longest packet for every message fragments the heap. One
# buffer serves all channels, because a process reads them in one thread, one message at a time.
_buffer = memoryview(bytearray(MOST_OF_A_MESSAGE))
_encode = msgspec.json.Encoder().encode


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets with buffers for prompts of a hundred thousand tokens."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_OF_A_MESSAGE)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_OF_A_MESSAGE)
    return ends


def _receive(sock: socket.socket, incoming: Incoming) -> tuple[bytes, list[int]]:
    """Receive the next packet and its descriptors. Raise ``BadMessageError`` if it is too long or
    has too many descriptors; they are all closed then."""
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


def _tell_nobody(*_: object) -> None:
    """Take what a closed channel would tell."""


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _transmit(sock: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    if fds:
        socket.send_fds(sock, [data], fds)
    else:
        sock.send(data)


class Channel:
    """The blocking end, for a process that waits for nothing else. ``incoming`` defines the
    messages that it may receive."""

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
        """Return the next message and its descriptors, or None after ``timeout_ms`` (None: no
        limit). Raise ``EOFError`` on a closed channel, ``BadMessageError`` on a bad message."""
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
    """The gateway's end: it calls back for each message, and its send never blocks the loop.

    ``incoming`` defines the messages that the other end may send; ``on_message`` gets only those
    and owns their descriptors. ``on_close`` is called once, unless :meth:`close` was called before:
    with an empty text if the other end closed the channel, else with the error of its message.
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
        """Send now, or when the other end has room; drop the message if the channel is closed. The
        caller may close ``fds`` at once."""
        if not self._open:
            return
        data = _encode(message)
        if not self._outbox:
            try:
                _transmit(self._sock, data, fds)
                return
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
            except OSError:
                return  # The reader also sees that the channel ended, and reports it.
        self._outbox.append((data, [os.dup(fd) for fd in fds]))

    def _flush(self) -> None:
        try:
            while self._outbox:
                _transmit(self._sock, *self._outbox[0])
                close_all(self._outbox.popleft()[1])
        except BlockingIOError:
            return
        except OSError:
            self._drop_outbox()
        self._loop.remove_writer(self._sock)

    def _drop_outbox(self) -> None:
        while self._outbox:
            close_all(self._outbox.popleft()[1])

    def drain(self) -> None:
        """Read all that the other end sent. Call it only after that process has ended: a live one
        could send without end."""
        while self._take():
            pass

    def _readable(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self._take():
                return

    def _take(self) -> bool:
        """Read one message; return False if none is pending or the channel is closed."""
        if not self._open:
            return False
        try:
            data, fds = _receive(self._sock, self._incoming)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True  # It ended without reading all our messages; its own messages come next.
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
        """Handle one message. No error leaves this function: the loop would not know the sender."""
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
            tell = self._on_close
            self.close()
            tell(why)

    def close(self) -> None:
        """Stop reading. Forget whom to tell, which refers to this channel: a cycle would stay until
        the garbage collector looks at all objects of the gateway."""
        if self._open:
            self._on_message = self._on_close = _tell_nobody
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._drop_outbox()
            self._sock.close()
