"""Memory of a device by process, and whether what was taken of it is given back.

On a card, by the driver's count (NVML). A shared copy counts for no process once its loader has
ended: it is part of what the card has in use that no process accounts for. On the CPU the device is
host memory: what each process has for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import psutil

from systems.runtime import cards
from systems.runtime.process_memory import shares

from . import process_tree

MIB = 1 << 20
SLACK_BYTES = 128 * MIB
"""What may stay in use on a card that no process accounts for: the driver's own."""


@dataclass(frozen=True)
class Reading:
    """Bytes by process id; ``used``: of the whole device."""

    by_process: Mapping[int, int]
    used: int

    @property
    def rest(self) -> int:
        """Bytes in use that no process accounts for."""
        return self.used - sum(self.by_process.values())

    def of(self, pids: Collection[int]) -> int:
        return sum(held for pid, held in self.by_process.items() if pid in pids)

    def of_ended(self, besides: Collection[int] = ()) -> int:
        """Bytes of processes that have ended, other than ``besides``."""
        return self.of([p for p in self.by_process if p not in besides and has_ended(p)])


Read = Callable[[], Reading]


def has_ended(pid: int) -> bool:
    try:
        return not process_tree.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def reader(device: str) -> Read:
    """Return a function that reads the memory of ``device`` (``cpu:0``, ``cuda:0``)."""
    if device.startswith("cpu"):
        return _of_host
    uuid = cards.Cards.here([device]).uuid(device)
    return lambda: _of_card(uuid)


def _of_card(uuid: str) -> Reading:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    return Reading(cards.memory_by_process(uuid), int(pynvml.nvmlDeviceGetMemoryInfo(handle).used))


def _of_host() -> Reading:
    found = {process.pid: shares(process.pid) for process in process_tree.living()}
    private = {pid: each.uss for pid, each in found.items() if each is not None}
    return Reading(private, sum(private.values()))


def name(device: str) -> str | None:
    """Return the model of a card; None for the CPU."""
    if device.startswith("cpu"):
        return None
    import pynvml

    return str(pynvml.nvmlDeviceGetName(cards.handles()[cards.index(device)]))


def not_back(
    before: Reading, read: Read, mine: Collection[int], within_s: float, slack: int = SLACK_BYTES
) -> list[str]:
    """Wait until the device has no memory of the processes ``mine`` or of processes that have
    ended, and in all as much that no process accounts for as ``before``. Return what is left."""
    deadline = time.monotonic() + within_s
    while (found := _held(before, read(), mine, slack)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _held(before: Reading, now: Reading, mine: Collection[int], slack: int) -> list[str]:
    found = []
    if held := now.of(mine):
        found.append(f"{held // MIB} MiB on the device of processes of the platform")
    if held := now.of_ended(besides=mine):
        found.append(f"{held // MIB} MiB on the device of processes that have ended")
    if now.rest > before.rest + slack:
        found.append(
            f"{now.rest // MIB} MiB on the device of no process, {before.rest // MIB} before"
        )
    return found
