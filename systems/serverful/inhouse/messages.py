"""The messages between a front and its replicas."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from systems.runtime.incoming import MOST_OF_A_MESSAGE, Incoming
from systems.runtime.messages import (
    Cancel,
    Count,
    Document,
    Failed,
    Message,
    Name,
    Nanoseconds,
    Part,
    PositiveCount,
    Request,
    RequestFields,
    RequestId,
    Seconds,
    StepTokens,
    Stop,
    TokenId,
)

SnapshotDtype = Literal["float32", "bfloat16", "float16"]
Timings = dict[Name, Seconds]
"""Measurements of a scheme's profile; a name ends in its unit."""


class TableShape(Part, frozen=True):
    """The places for adapters: the largest rank, the projections that at least one adapter changes,
    and the number of places."""

    rank: PositiveCount
    targets: tuple[Name, ...]
    count: Count


class Configure(Message, frozen=True):
    """Configures a replica. ``adapters``: the adapters it loads first, name → folder; ``slots``:
    requests that it may run at once."""

    scheme: Name
    device: Name
    model_dir: Name
    layout: Document
    adapters: dict[Name, Name]
    table: TableShape
    threads: PositiveCount
    slots: PositiveCount
    max_context_tokens: PositiveCount


class Hold(Message, frozen=True):
    """Asks to load the adapter in the folder ``path``."""

    adapter: Name
    path: Name


class Drop(Message, frozen=True):
    """Asks to unload an adapter."""

    adapter: Name


class SnapshotMessage(Part, frozen=True):
    """The state of a running request. Its keys and values are sent along as a memory file of
    ``shape`` and ``dtype``. ``draws``: the state of its random stream, in hexadecimal."""

    token: TokenId
    produced: Count
    draws: Annotated[str, Meta(max_length=32 << 10, pattern="^([0-9a-f]{2})*$")] | None
    shape: Annotated[tuple[Count, ...], Meta(max_length=8)]
    dtype: SnapshotDtype


class Release(Message, frozen=True, tag="part"):
    """Asks for a request back, so that another replica can continue it."""

    request: RequestId


class Join(Message, frozen=True):
    """Hands over a request that ran on another replica."""

    request: RequestFields
    state: SnapshotMessage


class Ready(Message, frozen=True):
    """The replica can serve."""

    timings: Annotated[Timings, Meta(max_length=16)]


class Stepped(Message, frozen=True):
    """An iteration produced these tokens."""

    start_ns: Nanoseconds
    t_ns: Nanoseconds
    tokens: StepTokens


class Switched(Message, frozen=True):
    """The adapter ``merged`` is now merged into the weights (None: no adapter is)."""

    merged: Name | None
    start_ns: Nanoseconds
    t_ns: Nanoseconds


class Released(Message, frozen=True):
    """Returns a request, unless it has ended (``there`` is false). For one that had started,
    ``state`` and a descriptor are sent along."""

    request: RequestId
    there: bool
    state: SnapshotMessage | None = None


class Joined(Message, frozen=True):
    """A request from another replica has come with its state, and is queued."""

    request: RequestId


REPLICA_SAYS = Incoming(Ready | Stepped | Switched | Released | Joined | Failed, descriptors=1)
REPLICA_HEARS = Incoming(
    Configure | Hold | Drop | Request | Cancel | Release | Join | Stop,
    descriptors=1,
    most_bytes=MOST_OF_A_MESSAGE,
)
