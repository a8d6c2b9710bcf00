"""Messages between the processes of a load generator, but for those of a sender (frames.py).

A worker sends its counts to the driver through Locust; the driver writes one JSON line per message
to the process that started it. The receiver checks every field.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class WorkerCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests of one worker's share that ended, those of them that failed, and stream events."""

    worker: Count
    done: Count
    failed: Count
    events: Count


class WorkerDone(WorkerCounts, frozen=True):
    """The end of a share. ``lags_ns``: delays between arrival and reading of data; ``complete``:
    whether the sender finished."""

    cpu_ns: Count
    sender_cpu_ns: Count
    lags_ns: list[int]
    complete: bool


class StartAt(Struct, frozen=True, forbid_unknown_fields=True):
    """The start of the run on the driver's monotonic clock, in ns."""

    start_ns: Count


class DriverMessage(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """Base class of what a driver writes; ``kind`` is the class name in lower case."""


class Started(DriverMessage, frozen=True):
    start_ns: Count


class Advanced(DriverMessage, frozen=True):
    """Counts of all workers."""

    done: Count
    failed: Count
    events: Count


class Done(DriverMessage, frozen=True):
    """The end of the run. ``lost``: workers that ended early; ``cpu_ns``: the driver's own."""

    workers: list[WorkerDone]
    lost: Count
    cpu_ns: Count


_FROM_DRIVER = msgspec.json.Decoder(Started | Advanced | Done)
_Message = TypeVar("_Message", bound=Struct)


def read_line(line: bytes) -> Started | Advanced | Done:
    """Decode a driver's line. Raises ``msgspec.DecodeError``."""
    message: Started | Advanced | Done = _FROM_DRIVER.decode(line)
    return message


def taken(data: Any, expected: type[_Message]) -> _Message:
    """Check what came through Locust. Raises ``msgspec.ValidationError``."""
    return msgspec.convert(data, expected)


def as_data(message: Struct) -> dict[str, Any]:
    """Give a message in the form in which Locust carries it."""
    return {name: getattr(message, name) for name in message.__struct_fields__}
