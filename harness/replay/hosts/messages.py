"""All that the harness and a load worker on another host say to each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.runtime.links.message import Count, Label, Message, Name, Ping, Pong

from ..plan import Plan

PIECE = 1 << 20
"""Bytes of a file, or of a carried connection, in one message."""

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
    """A part in a replay; its schedule follows as a file."""

    plan: Plan


class Stop(Message, frozen=True):
    """End the part that is under way, and tell what was recorded so far."""


class Bye(Message, frozen=True):
    """There are no more parts."""


FromHarness = Ping | Share | Piece | Data | Shut | Stop | Bye


# -- from a load worker -------------------------------------------------------------------------


class WorkerHello(Message, frozen=True):
    """Introduces a load worker by the clock of its host."""

    clock: Label


class Open(Message, frozen=True):
    """A process of the load worker connects to Locust's master. Connections count from 1."""

    id: Count


class Ended(Message, frozen=True):
    """Its part is over, and what it recorded was sent. ``status``: of Locust's worker."""

    status: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


FromWorker = WorkerHello | Pong | Open | Data | Shut | Piece | Ended
