"""Messages between the template and the process that started it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .incoming import Incoming
from .messages import (
    Count,
    Failed,
    Message,
    Name,
    Nanoseconds,
    Ping,
    Pong,
    ProcessId,
    Reason,
    Started,
)


class Ready(Message, frozen=True):
    """The libraries are imported since ``t_ns``; the template can be forked."""

    t_ns: Nanoseconds


class Forked(Message, frozen=True):
    """The fork requested with ``token`` is process ``pid``."""

    token: Count
    pid: ProcessId


class ForkFailed(Message, frozen=True):
    """The kernel refused the fork requested with ``token``; the template goes on."""

    token: Count
    reason: Reason


class Exited(Message, frozen=True):
    """A fork ended, after ``used_ns`` of processor time."""

    pid: ProcessId
    returncode: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
    used_ns: Nanoseconds


class Import(Message, frozen=True):
    """The first message: import the libraries for this kind of device."""

    device: Name


class Fork(Message, frozen=True):
    """Requests a process of ``role``. Its channel and its output pipe are sent as descriptors.
    ``visible``: the only GPUs that it sees, as ``CUDA_VISIBLE_DEVICES``; empty: as the template."""

    token: Count
    role: Name
    device: Name
    visible: Name = ""


SAYS = Incoming(Started | Ready | Forked | ForkFailed | Exited | Failed | Pong)
HEARS = Incoming(Import | Fork | Ping, descriptors=2)
