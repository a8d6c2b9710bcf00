"""Messages between the gateway and its processes: JSON over Unix sequenced-packet sockets.

A message may carry file descriptors. The format is JSON, not pickle: an instance runs a tenant's
adapter, so its messages must not execute code in the gateway or block it. The receiver limits their
length, their descriptors, how many packets it reads in one turn, and its own share of the time that
it hears a process (:mod:`.share`). A message of any length that
the receiver takes is sent, however small the socket's buffers are (:mod:`.packets`). One that the
kernel refuses to send for another reason closes the channel with that reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable, Sequence

import msgspec

from .incoming import MOST_OF_A_MESSAGE, BadMessageError, Incoming
from .messages import Message
from .outbox import Outbox
from .packets import Inbox, close_all, most_of, split, transmit
from .share import Share

MESSAGES_A_TURN = 16
"""Packets read from one process before the event loop serves other processes and callers."""
BYTES_A_TURN = 32 << 10
"""After as many bytes the turn ends too: a step of a batch takes 1 KB, and is also worked on."""
_LOG = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets. Their buffers have room for prompts of a hundred thousand
    tokens if the system grants it; else such a prompt is sent as fast as it is read."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_OF_A_MESSAGE)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_OF_A_MESSAGE)
    return ends


def _tell_nobody(*_: object) -> None:
    """Take what a closed channel would tell."""


class Channel:
    """The blocking end, for a process that waits for nothing else. ``incoming`` defines the
    messages that it may receive."""

    def __init__(self, sock: socket.socket, incoming: Incoming) -> None:
        self._sock = sock
        self._incoming = incoming
        self._inbox = Inbox(sock, incoming)
        self._most = most_of(sock)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send as fast as the other end reads. Raise ``OSError`` if that is impossible."""
        *parts, last = split(_encode(message), self._most)
        for part in parts:
            transmit(self._sock, part, ())
        transmit(self._sock, last, fds)

    def receive(self, timeout_ms: int | None = None) -> tuple[Message, list[int]] | None:
        """Return the next message and its descriptors, or None after ``timeout_ms`` without a
        packet (None: no limit). Raise ``EOFError`` on a closed channel, ``BadMessageError`` on a
        bad message."""
        taken = None
        while taken is None:
            if not self._poll.poll(timeout_ms):
                return None
            taken = self._inbox.take()
        data, fds = taken
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
    with an empty text if the other end closed the channel, else with a sentence about that end: its
    message is invalid, or one to it cannot be sent.
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
        self._inbox = Inbox(sock, incoming)
        self._most = most_of(sock)
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_close = on_close
        self._outbox = Outbox(sock)
        self._open = self._sends = True
        self._share = Share()
        self._resting: asyncio.TimerHandle | None = None
        self._listen()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now, or when the other end has room; drop the message if the channel is closed. The
        caller may close ``fds`` at once. A message that cannot be sent closes the channel, and so
        does one too many that the other end does not read (:mod:`.outbox`)."""
        if not self._sends:
            return
        *parts, last = split(_encode(message), self._most)
        for part in parts:
            self._put(part, ())
        self._put(last, fds)

    def _put(self, packet: bytes, fds: Sequence[int]) -> None:
        try:
            if self._outbox:
                self._outbox.put(packet, fds)
            else:
                self._try(packet, fds)
        except OSError as error:
            self._unsent(error)

    def _try(self, packet: bytes, fds: Sequence[int]) -> None:
        try:
            transmit(self._sock, packet, fds)
        except BlockingIOError:
            self._outbox.put(packet, fds)
            self._loop.add_writer(self._sock, self._flush)

    def _unsent(self, error: OSError) -> None:
        """Send no more, and tell why, unless the other end has closed the channel: the reader sees
        that too. Tell it later: callers of ``send`` do not expect an end."""
        if isinstance(error, ConnectionError):
            return
        self._stop_sending()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)  # what follows a lost message must not arrive
        self._loop.call_soon(self._hang_up, f"a message to it cannot be sent: {error.strerror}")

    def _flush(self) -> None:
        try:
            self._outbox.flush()
        except BlockingIOError:
            return
        except OSError as error:
            self._outbox.clear()
            self._unsent(error)
        self._loop.remove_writer(self._sock)

    def _stop_sending(self) -> None:
        self._sends = False
        self._loop.remove_writer(self._sock)
        self._outbox.clear()

    def drain(self) -> None:
        """Read all that the other end sent. Call it only after that process has ended: a live one
        could send without end."""
        while self._take():
            pass

    def _readable(self) -> None:
        began_s = time.perf_counter()
        self._take_turn(self._inbox.received + BYTES_A_TURN)
        rest_s = self._share.heard(began_s, time.perf_counter())
        if rest_s and self._open:
            self._loop.remove_reader(self._sock)
            self._resting = self._loop.call_later(rest_s, self._listen)

    def _take_turn(self, until: int) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self._take() or self._inbox.received >= until:
                return

    def _listen(self) -> None:
        self._loop.add_reader(self._sock, self._readable)

    def _take(self) -> bool:
        """Read one packet; return False if none is pending or the channel is closed."""
        if not self._open:
            return False
        try:
            taken = self._inbox.take()
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True  # It ended without reading all our messages; its own messages come next.
        except BadMessageError as error:
            self._refuse(error)
            return False
        except OSError:
            taken = b"", []
        if taken is not None:
            self._hear(*taken)
        return self._open

    def _hear(self, data: bytes, fds: list[int]) -> None:
        """Handle one message; without data, the end of the connection. No error leaves this
        function: the loop would not know the sender."""
        if not data:
            self._hang_up("")
            return
        try:
            message = self._incoming.decode(data)
        except BadMessageError as error:
            close_all(fds)
            self._refuse(error)
            return
        try:
            self._on_message(message, fds)
        except BadMessageError as error:
            self._refuse(error)
        except Exception as error:
            kind = type(message).__name__
            _LOG.exception("a message of kind %s cannot be taken", kind)
            self._refuse(f"{kind}: {error!r}")

    def _refuse(self, error: BadMessageError | str) -> None:
        self._hang_up(f"it sent an invalid message: {error}")

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
            if self._resting is not None:
                self._resting.cancel()
            self._stop_sending()
            self._sock.close()
