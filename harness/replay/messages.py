"""Messages between the processes of a load generator, but for those of a sender (frames.py).

A worker sends its counts to the driver through Locust; the driver writes one JSON line per message
to the process that started it. The receiver checks every field.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class OfWorker(Struct, frozen=True, forbid_unknown_fields=True):
    worker: Count


class WorkerCounts(OfWorker, frozen=True):
    """Requests of one worker's share that ended, those of them that failed, and stream events."""

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


class Ended(Struct, frozen=True, forbid_unknown_fields=True):
    """A request that ended, for a watcher of the run. ``row``: in the schedule; times in ns, None
    if there are none; ``late_ns``: from the intended to the actual send."""

    row: Count
    status: Annotated[str, Meta(max_length=64)]
    ttft_ns: int | None
    tpot_ns: int | None
    late_ns: int | None


class WorkerRecent(OfWorker, frozen=True):
    """The requests of a share that have ended since the last such message."""

    requests: list[Ended]


class Lost(OfWorker, frozen=True):
    """Tells the driver that another host has lost this worker."""


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


class Recent(DriverMessage, frozen=True):
    """Requests that have ended."""

    requests: list[Ended]


class Done(DriverMessage, frozen=True):
    """The end of the run. ``lost``: workers that ended early; ``cpu_ns``: the driver's own."""

    workers: list[WorkerDone]
    lost: Count
    cpu_ns: Count


_FROM_DRIVER = msgspec.json.Decoder(Started | Advanced | Recent | Done)
_Message = TypeVar("_Message", bound=Struct)


def read_line(line: bytes) -> Started | Advanced | Recent | Done:
    """Decode a driver's line. Raises ``msgspec.DecodeError``."""
    message: Started | Advanced | Recent | Done = _FROM_DRIVER.decode(line)
    return message


def taken(data: Any, expected: type[_Message]) -> _Message:
    """Check what came through Locust. Raises ``msgspec.ValidationError``."""
    return msgspec.convert(data, expected)


def as_data(message: Struct) -> dict[str, Any]:
    """Give a message in the form in which Locust carries it."""
    content: dict[str, Any] = msgspec.to_builtins(message)
    return content
