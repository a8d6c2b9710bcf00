"""Messages over TCP: framing, and who is let in."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.runtime.links import secret
from systems.runtime.links.handshake import Door, Knock
from systems.runtime.links.link import MOST_OF_A_STRANGER, Frames, Link, Message, pack

SAID = [("ping", {"asked_ns": 7}), ("tokens", {"text": "ü", "ids": [1, 2]}), ("stop", {})]


@given(cuts=st.lists(st.integers(0, 120), max_size=8))
def test_messages_come_whole_however_they_are_cut(cuts: list[int]) -> None:
    stream = b"".join(pack(kind, fields) for kind, fields in SAID)
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    frames = Frames()
    pieces = [stream[a:b] for a, b in itertools.pairwise(bounds)]
    heard = [message for piece in pieces for message in frames.take(piece)]
    assert heard == [{"kind": kind, **fields} for kind, fields in SAID]


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"kind": 3}', b"not JSON", b"\xff"])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Frames().take(len(content).to_bytes(4, "big") + content))


def test_a_stranger_cannot_make_the_other_end_hold_much() -> None:
    with pytest.raises(ValueError, match="at most 4096"):
        list(Frames().take((MOST_OF_A_STRANGER + 1).to_bytes(4, "big")))


class Ends:
    """A door on loopback and what was heard on both sides."""

    def __init__(self, door_key: str) -> None:
        self.known: list[Message] = []
        self.host_heard: list[Message] = []
        self.guest_heard: list[Message] = []
        self.closed: list[str] = []
        self.doors: list[Door] = []
        self._key = door_key
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        def door() -> Door:
            made = Door(self._key, self.known.append, self.host_heard.append, self.closed.append)
            self.doors.append(made)
            return made

        self._server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def come(self, link: Link, port: int) -> Link:
        await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", port)
        return link

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def meet(story: Callable[[Ends, int], Coroutine[Any, Any, None]], key: str = "right") -> Ends:
    async def played() -> Ends:
        ends = Ends(key)
        port = await ends.open()
        try:
            await asyncio.wait_for(story(ends, port), 5)
        finally:
            ends.close()
        return ends

    return asyncio.run(played())


def test_ends_that_share_the_secret_talk() -> None:
    async def story(ends: Ends, port: int) -> None:
        knock = Knock("right", {"name": "n"}, ends.guest_heard.append, ends.closed.append)
        await ends.come(knock, port)
        while not ends.known:
            await asyncio.sleep(0.001)
        ends.doors[0].send("deployment", big="x" * 200_000)
        while not ends.guest_heard:
            await asyncio.sleep(0.001)
        knock.send("ready", devices=[])
        await knock.finish()
        await ends.doors[0].closed.wait()

    ends = meet(story)
    assert ends.known[0]["name"] == "n"
    assert ends.host_heard == [{"kind": "ready", "devices": []}]
    assert len(ends.guest_heard[0]["big"]) == 200_000


def test_a_guest_without_the_secret_is_hung_up_on() -> None:
    async def story(ends: Ends, port: int) -> None:
        knock = Knock("wrong", {}, ends.guest_heard.append, lambda why: None)
        await ends.come(knock, port)
        await knock.closed.wait()
        await ends.doors[0].closed.wait()

    ends = meet(story)
    assert not ends.known
    assert "does not know the secret" in ends.closed[0]


def test_a_host_that_repeats_the_guests_proof_is_not_believed() -> None:
    """Each side's proof is good for that side only."""

    async def story(ends: Ends, port: int) -> None:
        knock = Knock("right", {}, ends.guest_heard.append, ends.closed.append)
        impostor = Link(lambda message: None, lambda why: None)

        def pose(message: Message) -> None:
            impostor.send("accepted", proof=message["proof"])

        impostor._on_message = pose
        server = await asyncio.get_running_loop().create_server(lambda: impostor, "127.0.0.1", 0)
        await ends.come(knock, server.sockets[0].getsockname()[1])
        impostor.send("challenge", challenge=knock._challenge)
        await knock.closed.wait()
        server.close()

    ends = meet(story)
    assert "does not know the secret" in ends.closed[0]
    assert not ends.guest_heard


def test_the_secret_is_never_sent() -> None:
    key, challenge = secret.make(), secret.challenge()
    sent = json.dumps(secret.proof(key, secret.GUEST, challenge))
    assert key not in sent
    assert secret.proves(key, secret.GUEST, challenge, json.loads(sent))
    assert not secret.proves(key, secret.HOST, challenge, json.loads(sent))
    assert not secret.proves(key, secret.GUEST, challenge, None)
