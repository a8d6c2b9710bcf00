"""The memory that a message takes in its receiver."""

import asyncio
import contextlib
import os
import socket
import tracemalloc
from contextlib import closing

import pytest

from systems.runtime.channel import AsyncChannel, Channel, pair
from systems.runtime.incoming import Incoming
from systems.runtime.messages import Message
from systems.runtime.roles import by_name
from systems.serverless.live.roles import INSTANCE


class Token(Message, frozen=True):
    text: str


TOKENS = Incoming(Token, most_bytes=1 << 20)


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
