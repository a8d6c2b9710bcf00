"""The faults of a device: its processes by role, its memory, and all of its processes at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil

from . import signals
from .fault import Fault, MissedError
from .hog import FullDevice
from .shortages import SERVED
from .signals import INSTANCE, RESTARTS_S, STARTING
from .stage import Stage

_APPEARS_S = 6.0
_HELD_S = 4.0


def faults(kind: str) -> list[Fault]:
    """Return the faults of a device of ``kind``, those of a deployment one after another. Memory is
    taken from a card only: a process that takes the machine's would end others."""
    kept = [each for each in signals.faults() if not each.brief and "imports" not in each.name]
    brief = [each for each in signals.faults() if each.brief]
    everywhere = [*_of_prewarmed(), *kept, _falls_away(), *_shared(), *brief, *_of_parsers()]
    return [*(_full() if kind == "cuda" else ()), *everywhere]


def names() -> set[str]:
    return {fault.name for kind in ("cpu", "cuda") for fault in faults(kind)}


def _full() -> Iterator[Fault]:
    """The card has no memory left for some seconds. What starts or needs memory then may fail."""
    for name, target, cold in (
        ("no memory left on the device", Stage.instances, False),
        ("no memory left on the device as functions start", Stage.on_device, True),
    ):
        hog = FullDevice(target)
        yield Fault(
            name,
            hog.inflict(),
            SERVED,
            RESTARTS_S,
            cold=cold,
            pause_s=_HELD_S,
            prepare=hog.prepare,
        )


def _of_prewarmed() -> Iterator[Fault]:
    for name, number in (("kill -9", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
        inflict = signals.send(number, "prewarmed process")
        yield Fault(f"{name}, a prewarmed process", inflict, INSTANCE, 60, awaited_s=_APPEARS_S)


def _shared() -> Iterator[Fault]:
    """Functions that share an instance."""
    for name, number in (("kill -9", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
        yield Fault(
            f"{name}, a shared instance",
            signals.send(number, "instance"),
            INSTANCE,
            60,
            shared=True,
        )
    yield replace(_falls_away(), name="all processes of the device, a shared instance", shared=True)


def _of_parsers() -> Iterator[Fault]:
    """An adapter whose parser was stopped is parsed again after nine times what that took
    (``live/adapters/tier.py``), so this takes most of a minute."""
    for name, number in (("kill -9", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
        yield Fault(
            f"{name}, the parser of an adapter",
            signals.send(number, "parser"),
            STARTING,
            RESTARTS_S,
            cold=True,
            shared=True,
        )


def _falls_away() -> Fault:
    """All processes that use the device end, as after an error of the card that ends every
    context."""
    return Fault("all processes of the device", _end_all, STARTING, RESTARTS_S)


async def _end_all(stage: Stage, random: np.random.Generator) -> None:
    found = stage.on_device()
    if not found:
        raise MissedError("no process uses the device")
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
