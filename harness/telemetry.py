"""Memory of process trees, measured from outside on the request clock.

Every tick reads two counters a process, which cost microseconds: anonymous and shared resident
pages. The proportional set size (PSS), in which a shared page counts once over all who map it,
costs a walk of every page table, so it is read every few seconds only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

TICK_S = 0.1
PSS_S = 4.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(NamedTuple):
    """Of all processes together, absolute monotonic time. ``pss_bytes`` is None between its
    readings, and where the kernel does not tell."""

    t_ns: int
    anonymous_bytes: int
    pss_bytes: int | None
    processes: int


class Sampler:
    """Samples from ``start`` to ``stop``, in a thread of its own. Children come and go freely."""

    def __init__(self, roots: Sequence[int], tick_s: float = TICK_S, pss_s: float = PSS_S) -> None:
        self.samples: list[Sample] = []
        self._roots = tuple(roots)
        self._tick_s = tick_s
        self._pss_s = pss_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        next_pss = time.monotonic()
        while not self._stop.wait(self._tick_s):
            due = time.monotonic() >= next_pss
            self.samples.append(self._sample(due))
            if due:
                next_pss = time.monotonic() + self._pss_s

    def _sample(self, with_pss: bool) -> Sample:
        family = [pid for root in self._roots for pid in tree(root)]
        anonymous = sum(anonymous_bytes(pid) for pid in family)
        readings = [pss_bytes(pid) for pid in family] if with_pss else []
        known = [reading for reading in readings if reading is not None]
        return Sample(time.monotonic_ns(), anonymous, sum(known) if known else None, len(family))


def tree(root: int) -> Iterator[int]:
    """``root`` and its descendants, as the kernel lists them."""
    yield root
    try:
        tasks = os.listdir(f"/proc/{root}/task")
        lists = [Path(f"/proc/{root}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return
    for text in lists:
        for child in text.split():
            yield from tree(int(child))


def anonymous_bytes(pid: int) -> int:
    """Resident memory of a process that no file backs; what a fork has yet to copy counts for
    parent and child both. 0 once it is gone."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE


def pss_bytes(pid: int) -> int | None:
    """Proportional set size; None where it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None
