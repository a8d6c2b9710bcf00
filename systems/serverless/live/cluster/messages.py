"""The messages between the gateway and the agent of a node; actions and events of the core are in
:mod:`.action_messages` and :mod:`.event_messages`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.interface import Deployment
from systems.runtime.links.message import Count, Label, Message, Name, Ns, Part, Ping, Pong, Text

from ...core.artifacts import CopyKey
from ..messages import INSTANCE_SAYS
from .action_messages import Action
from .event_messages import Event

VERSION = 9
"""Version of these messages."""
_MOST_DEVICES = 256
_MOST_MODELS = 1 << 16

ToInstance = Annotated[bytes, Meta(max_length=32 << 20)]
"""A message to an instance, as JSON; the node passes it on."""
OfInstance = Annotated[bytes, Meta(max_length=8 * INSTANCE_SAYS.most_bytes)]
"""A message of an instance, as JSON; the agent encodes it again, so it may become longer."""
Prints = Annotated[dict[Label, Label], Meta(max_length=_MOST_MODELS)]
"""Digests by backbone and function."""


# -- from the gateway ---------------------------------------------------------------------------


class Offer(Message, frozen=True):
    """Sends the deployment to a node, with digests that its models must match. ``cache``: the
    gateway's folder of models made from seeds."""

    deployment: Deployment
    forks: bool
    prints: Prints
    cache: Label


class Refused(Message, frozen=True):
    """The gateway does not use this node."""

    reason: Text


class Welcome(Message, frozen=True):
    """The gateway uses this node."""


class Stop(Message, frozen=True):
    """End all processes and close the link."""


class Say(Message, frozen=True):
    """Forward a message to an instance."""

    instance: Count
    said: ToInstance


FromGateway = Offer | Refused | Welcome | Stop | Ping | Say | Action


# -- from an agent ------------------------------------------------------------------------------


class AgentHello(Message, frozen=True):
    """Introduces a node. ``version``: its :data:`VERSION`; ``clock``: its ``clock_id()``."""

    version: Count
    name: Name
    clock: Label


class OfferedDevice(Part, frozen=True):
    name: Label
    memory_bytes: Count
    slots: Annotated[int, Meta(ge=1, le=1 << 16)]


class Ready(Message, frozen=True):
    """The node has all models and offers its devices. ``threads``: CPU threads per instance."""

    devices: Annotated[tuple[OfferedDevice, ...], Meta(min_length=1, max_length=_MOST_DEVICES)]
    threads: Annotated[int, Meta(ge=1, le=1 << 16)]


class Declined(Message, frozen=True):
    """The node cannot serve the deployment."""

    reason: Text


class IsolationGap(Message, frozen=True):
    """Reports an isolation gap of the node."""

    text: Text


class Problem(Message, frozen=True):
    """Reports a failure on the node that no client sees."""

    text: Text


class Memory(Message, frozen=True):
    """Memory of all processes of the node; None if unknown."""

    t_ns: Ns
    pss_bytes: Count | None
    uss_bytes: Count | None


class Metered(Message, frozen=True):
    """Processor time of an instance."""

    instance: Count
    start_ns: Ns
    end_ns: Ns
    used_ns: Ns


class Summed(Part, frozen=True):
    """Checksum of a shared copy, and the time span in which the copy was read."""

    checksum: Annotated[int, Meta(ge=0)]
    start_ns: Ns
    end_ns: Ns


class Audited(Message, frozen=True):
    """The result of an audit of a shared copy."""

    copy: CopyKey
    last: Summed
    now: Summed | None
    reason: Text


class Tokens(Message, frozen=True):
    """Forwards a message of an instance about its requests."""

    instance: Count
    said: OfInstance


FromAgent = (
    AgentHello
    | Ready
    | Declined
    | Pong
    | IsolationGap
    | Problem
    | Memory
    | Metered
    | Audited
    | Tokens
    | Event
)
