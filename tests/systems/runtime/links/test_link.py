"""Messages over a link: framing, and which messages a peer may send when."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.runtime.links.link import MOST_OF_A_STRANGER, Frames, Link, pack
from systems.runtime.links.message import Message, Ping, Pong, decoder

from .receivers import Wire, refuses_what_is_wrong

SAID = [Ping(7), Pong(7, 2**63 - 1), Ping(0)]


@given(cuts=st.lists(st.integers(0, 120), max_size=8))
def test_messages_come_whole_however_they_are_cut(cuts: list[int]) -> None:
    stream = b"".join(map(pack, SAID))
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    frames = Frames()
    pieces = [stream[a:b] for a, b in itertools.pairwise(bounds)]
    heard = [
        decoder(Ping | Pong).decode(content) for piece in pieces for content in frames.take(piece)
    ]
    assert heard == SAID


def link(heard: list[Message], closed: list[str]) -> Link:
    return Link(Ping | Pong, {Ping: heard.append}, closed.append)


@given(content=st.binary(max_size=200))
def test_what_is_no_message_ends_the_link_in_one_line(content: bytes) -> None:
    heard: list[Message] = []
    closed: list[str] = []
    wire = Wire(link(heard, closed))
    wire.say_raw(content)
    assert wire.gone
    assert "does not keep to the protocol" in closed[0]
    assert "\n" not in closed[0]
    assert not heard


def test_almost_a_message_is_none() -> None:
    refuses_what_is_wrong(lambda: Wire(link([], [])), Ping(7))


def test_a_message_out_of_turn_ends_the_link_and_nothing_after_it_is_heard() -> None:
    heard: list[Message] = []
    closed: list[str] = []
    wire = Wire(link(heard, closed))
    wire.link.data_received(pack(Ping(1)) + pack(Pong(1, 2)) + pack(Ping(3)))
    assert heard == [Ping(1)]
    assert closed == ["it does not keep to the protocol: it may not say Pong now"]


def test_a_stranger_cannot_make_the_other_end_hold_much() -> None:
    with pytest.raises(ValueError, match="at most 4096"):
        list(Frames().take((MOST_OF_A_STRANGER + 1).to_bytes(4, "big")))


def test_who_does_not_say_in_time_what_is_expected_is_hung_up_on() -> None:
    async def silent() -> list[str]:
        closed: list[str] = []
        wire = Wire(Link(Ping | Pong, {Ping: lambda ping: None}, closed.append, within_s=0.01))
        await asyncio.wait_for(wire.link.closed.wait(), 5)
        return closed

    assert asyncio.run(silent()) == ["it did not send an expected message within 0.01 s"]


def test_what_has_come_in_time_stands() -> None:
    async def prompt() -> bool:
        wire = Wire(Link(Ping | Pong, {}, lambda why: None, within_s=0.01))
        wire.link.expect({Ping: lambda ping: None})
        await asyncio.sleep(0.05)
        return wire.gone

    assert not asyncio.run(prompt())
