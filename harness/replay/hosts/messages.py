"""The messages between the harness and a load worker on another host."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.runtime.links.message import Count, Label, Message, Name, Ping, Pong

from ..plan import Plan

PIECE = 1 << 20
"""Largest number of bytes of a file, or of a carried connection, in one message."""

Bytes = Annotated[bytes, Meta(max_length=PIECE)]


# -- both ways ----------------------------------------------------------------------------------


class Piece(Message, frozen=True):
    """The next piece of a file; ``last``: the file is complete."""

    name: Name
    data: Bytes
    last: bool


class Data(Message, frozen=True):
    """Bytes of a carried connection."""

    id: Count
    data: Bytes


class Shut(Message, frozen=True):
    """A carried connection ended."""

    id: Count


# -- from the harness ---------------------------------------------------------------------------


class Share(Message, frozen=True):
    """Assigns a part of a replay; the schedule follows as a file."""

    plan: Plan


class Stop(Message, frozen=True):
    """End the running part and send what was recorded so far."""


class Bye(Message, frozen=True):
    """There are no more parts."""


FromHarness = Ping | Share | Piece | Data | Shut | Stop | Bye


# -- from a load worker -------------------------------------------------------------------------


class WorkerHello(Message, frozen=True):
    """Introduces a load worker with the identity of its host's clock."""

    clock: Label


class Open(Message, frozen=True):
    """A process of the load worker connects to Locust's master. Connections count from 1."""

    id: Count


class Ended(Message, frozen=True):
    """The part has ended and its records were sent. ``status``: exit status of Locust's worker."""

    status: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


FromWorker = WorkerHello | Pong | Open | Data | Shut | Piece | Ended
