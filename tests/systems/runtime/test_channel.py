"""Messages on a channel: the memory that they take, their descriptors, and long ones."""

import asyncio
import contextlib
import errno
import gc
import json
import multiprocessing
import os
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest

from systems.runtime import outbox
from systems.runtime.channel import AsyncChannel, Channel, pair
from systems.runtime.incoming import BadMessageError, Incoming
from systems.runtime.messages import Message
from systems.runtime.roles import by_name
from systems.serverless.live.roles import INSTANCE


class Token(Message, frozen=True):
    text: str


TOKENS = Incoming(Token, most_bytes=1 << 20)
FILES = Incoming(Token, most_bytes=1 << 20, descriptors=1)
SHORT = Incoming(Token, most_bytes=16 << 10)
Received = list[tuple[str, int]]
"""The texts of messages, and how many descriptors came with each."""


def small_pair() -> tuple[socket.socket, socket.socket]:
    """A pair whose send buffers are as small as the kernel makes them: a few KB."""
    ends = pair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 8 << 10
    return ends


def texts_of(received: list[tuple[Message, list[int]]]) -> Received:
    """Close the descriptors."""
    for _, fds in received:
        for fd in fds:
            os.close(fd)
    return [(message.text, len(fds)) for message, fds in received if isinstance(message, Token)]


def test_a_message_takes_the_memory_of_its_own_length_and_not_of_the_longest() -> None:
    """Allocating and freeing 4 MiB for every message fragmented the gateway's heap: it grew by
    0.3 KB per started instance."""
    ours, theirs = pair()
    with closing(Channel(ours, TOKENS)) as near, closing(Channel(theirs, TOKENS)) as far:
        far.send(Token("x" * 1_000))
        tracemalloc.start()
        try:
            received = near.receive(1_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert received is not None
    assert received[0] == Token("x" * 1_000)
    assert peak < 64 << 10


def test_a_message_is_its_own_and_not_the_next_ones() -> None:
    ours, theirs = pair()
    with closing(Channel(ours, TOKENS)) as near, closing(Channel(theirs, TOKENS)) as far:
        for text in ("a" * 5_000, "b", "c" * 200_000):
            far.send(Token(text))
        received = [near.receive(1_000) for _ in range(3)]
    assert [each[0].text for each in received if each] == ["a" * 5_000, "b", "c" * 200_000]


def test_no_two_roles_have_one_name() -> None:
    with pytest.raises(ValueError, match="named twice: instance, instance"):
        by_name(INSTANCE, INSTANCE)


def test_a_descriptor_may_be_closed_once_its_message_was_sent_however_late_that_leaves() -> None:
    """The number of a closed descriptor is soon another file's, which the other end would get."""

    async def sent() -> list[bytes]:
        ours, theirs = pair()
        theirs.setblocking(False)
        near = AsyncChannel(ours, TOKENS, lambda message, fds: None, lambda why: None)
        with closing(near), closing(theirs):
            while not near._outbox:
                near.send(Token("x" * 100_000))
            reader, writer = os.pipe()
            near.send(Token("file"), [writer])
            os.close(writer)
            with open(os.devnull, "wb"):  # takes the number
                found: list[bytes] = []
                while not found or near._outbox:
                    await asyncio.sleep(0)
                    with contextlib.suppress(BlockingIOError):
                        _, fds, _, _ = socket.recv_fds(theirs, 200_000, 1)
                        for fd in fds:
                            os.write(fd, b"here")
                            os.close(fd)
                            found.append(os.read(reader, 4))
            os.close(reader)
            return found

    assert asyncio.run(asyncio.wait_for(sent(), 20)) == [b"here"]


@pytest.mark.parametrize("kind", ["bytes", "descriptors"])
def test_what_waits_for_one_who_reads_nothing_is_bounded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that answers pings and reads nothing had every descriptor of the gateway taken."""
    monkeypatch.setattr(outbox, "MOST_BYTES", 8 << 20)
    text, fds = ("x" * 100_000, []) if kind == "bytes" else ("file", [0])
    gc.collect()  # what earlier tests left is closed now, and not while this one counts
    before = len(os.listdir("/proc/self/fd"))

    async def sent() -> tuple[int, int, list[str]]:
        ours, theirs = small_pair()
        why: list[str] = []
        near = AsyncChannel(ours, TOKENS, lambda message, fds: None, why.append)
        most = count = 0
        with closing(near), closing(theirs):
            while not why and count < 5_000:
                near.send(Token(text), fds)
                count += 1
                most = max(most, len(os.listdir("/proc/self/fd")))
                await asyncio.sleep(0)
        return count, most, why

    count, most, why = asyncio.run(sent())
    assert why == ["a message to it cannot be sent: it does not read those before"]
    assert count < 2_000
    assert most < before + outbox.MOST_DESCRIPTORS + 20
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_message_whose_descriptor_cannot_be_kept_closes_the_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error reached whoever sent it: the controller, whose other actions were lost."""

    def no_more(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def sent() -> list[str]:
        ours, theirs = pair()
        why: list[str] = []
        near = AsyncChannel(ours, TOKENS, lambda message, fds: None, why.append)
        with closing(near), closing(theirs):
            while not near._outbox:
                near.send(Token("x" * 100_000))
            monkeypatch.setattr(os, "dup", no_more)
            near.send(Token("file"), [theirs.fileno()])
            near.send(Token("later"))
            await asyncio.sleep(0)
        return why

    assert asyncio.run(sent()) == ["a message to it cannot be sent: Too many open files"]


def flood(sock: socket.socket, packet: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock.send(packet)


@contextlib.contextmanager
def flooding(ends: list[tuple[socket.socket, socket.socket]], packet: bytes) -> Iterator[None]:
    """Have processes send without end to the first of each pair of ``ends``."""
    processes = [multiprocessing.Process(target=flood, args=(each, packet)) for _, each in ends]
    for process in processes:
        process.start()
    for _, theirs in ends:
        theirs.close()
    yield
    for process in processes:
        process.kill()
        process.join()


@pytest.mark.parametrize("text", ["", "x" * 30_000, "x" * 60_000])
def test_one_that_sends_without_end_gets_half_of_the_time(text: str) -> None:
    """It got all of the time that nobody else asked for, and delayed all others by a turn each."""
    ends = [pair()]
    packet = json.dumps({"kind": "token", "text": text}).encode()
    heard_s = [0.0]

    def work(message: Message, fds: list[int]) -> None:
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < 0.0005:
            pass
        heard_s[0] += time.perf_counter() - began_s

    async def listened() -> float:
        near = AsyncChannel(ends[0][0], TOKENS, work, lambda why: None)
        began_s = time.perf_counter()
        with closing(near):
            await asyncio.sleep(1)
        return heard_s[0] / (time.perf_counter() - began_s)

    with flooding(ends, packet):
        assert 0.1 < asyncio.run(listened()) < 0.65


LONG = "".join(chr(33 + at % 90) for at in range(500_000))
"""Longer than any buffer that is granted by default; of all characters, also those of packets."""


def test_a_message_longer_than_the_send_buffer_arrives_whole_and_in_order() -> None:
    """It vanished: the caller waited for its timeout, and a prompt of 60,000 tokens is so long."""

    async def received() -> Received:
        ours, theirs = small_pair()
        near = AsyncChannel(ours, TOKENS, lambda message, fds: None, lambda why: None)
        with closing(near), closing(Channel(theirs, FILES)) as far:
            for text in ("before", LONG, "after"):
                near.send(Token(text), [theirs.fileno()])
            found: list[tuple[Message, list[int]]] = []
            while len(found) < 3:
                await asyncio.sleep(0)
                if (taken := far.receive(0)) is not None:
                    found.append(taken)
            return texts_of(found)

    expected = [("before", 1), (LONG, 1), ("after", 1)]
    assert asyncio.run(asyncio.wait_for(received(), 20)) == expected


def test_a_long_message_of_a_process_arrives_whole() -> None:
    async def received() -> list[Message]:
        ours, theirs = small_pair()
        found: list[Message] = []
        heard = asyncio.Event()

        def hear(message: Message, fds: list[int]) -> None:
            assert fds == []
            found.append(message)
            if len(found) == 2:
                heard.set()

        with (
            closing(AsyncChannel(ours, TOKENS, hear, print)),
            closing(Channel(theirs, TOKENS)) as far,
        ):
            for text in (LONG, "after"):
                await asyncio.to_thread(far.send, Token(text))
            await heard.wait()
        return found

    texts = asyncio.run(asyncio.wait_for(received(), 20))
    assert texts == [Token(LONG), Token("after")]


@pytest.mark.parametrize("length", [20_000, 200_000], ids=["one packet", "several"])
def test_a_message_that_is_too_long_is_refused_however_many_packets_it_is(length: int) -> None:
    ours, theirs = pair()
    with closing(Channel(ours, SHORT)) as near, closing(Channel(theirs, SHORT)) as far:
        far.send(Token("x" * length))
        with pytest.raises(BadMessageError, match="a message of more than 16384 bytes"):
            near.receive(1_000)


def test_parts_without_an_end_are_refused_before_they_are_longer_than_a_message() -> None:
    ours, theirs = pair()
    with closing(Channel(ours, SHORT)) as near, closing(theirs):
        for _ in range(17):
            theirs.send(b"+" + b"x" * 1_000)
        with pytest.raises(BadMessageError, match="a message of more than 16384 bytes"):
            near.receive(0)


def test_an_empty_part_is_refused() -> None:
    """Any number of them would be no longer than a message."""
    ours, theirs = pair()
    with closing(Channel(ours, SHORT)) as near, closing(theirs):
        theirs.send(b"+")
        with pytest.raises(BadMessageError, match="an empty part of a message"):
            near.receive(0)


def test_descriptors_of_a_message_that_has_not_ended_are_closed() -> None:
    ours, theirs = pair()
    with closing(Channel(ours, FILES)) as near, closing(theirs):
        reader, writer = os.pipe()
        socket.send_fds(theirs, [b"+x"], [writer])
        os.close(writer)
        with pytest.raises(BadMessageError, match="descriptors before the end of a message"):
            near.receive(1_000)
        assert os.read(reader, 1) == b"", "the other end of the pipe is closed"
        os.close(reader)


@pytest.mark.parametrize("waiting", [False, True], ids=["at once", "from the outbox"])
def test_a_message_that_the_kernel_refuses_to_send_closes_the_channel_with_the_reason(
    waiting: bool,
) -> None:
    """It was taken for the end of the channel, which then goes on without it."""

    async def told() -> tuple[list[str], list[str]]:
        ours, theirs = pair()
        closed: list[str] = []
        end = asyncio.Event()
        near = AsyncChannel(
            ours, TOKENS, lambda message, fds: None, lambda why: (closed.append(why), end.set())
        )
        with closing(Channel(theirs, TOKENS)) as far:
            while waiting and not near._outbox:
                near.send(Token("first"))
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            for text in (LONG, "after"):
                near.send(Token(text))
            assert closed == [], "callers of send do not expect an end"
            found = []
            with contextlib.suppress(EOFError):
                while not end.is_set():
                    while (taken := far.receive(0)) is not None:
                        found.append(taken)
                    await asyncio.sleep(0)
            return closed, [text for text, _ in texts_of(found) if text != "first"]

    closed, arrived = asyncio.run(asyncio.wait_for(told(), 20))
    assert closed == ["a message to it cannot be sent: Message too long"]
    assert arrived == [], "what follows a lost message must not arrive"
