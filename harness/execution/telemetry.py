"""Samples the memory of process trees and GPUs from outside, on the request clock.

Every tick reads two counters per process, which takes microseconds: anonymous and shared resident
pages. Two sizes need a walk of every page table, so they are read every few seconds only: the
proportional set size (PSS), which divides a shared page among the processes that map it, and the
unique set size (USS), the pages that no other process maps; meanwhile the others go on. The members
of the trees are listed twice a second. A value that cannot be read is reported as missing, never
as 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import psutil

from harness.cells.sample import Sample
from systems.runtime.background import Background
from systems.runtime.process_memory import anonymous_bytes
from systems.runtime.process_tree import tree

from .gpu_memory import GpuMemory
from .shares import SharesReader

TICK_S = 0.1
PSS_S = 4.0
TREE_S = 0.5
_NO_SHARES = "pss and uss: the kernel does not tell (smaps_rollup)"


class Sampler(Background):
    """Context manager that samples in a thread. Child processes may start and end meanwhile."""

    def __init__(self, roots: Sequence[int], tick_s: float = TICK_S, pss_s: float = PSS_S) -> None:
        super().__init__("telemetry")
        self.samples: list[Sample] = []
        self.missing: list[str] = []
        """Sensors that cannot be read, with the reason."""
        self._roots = tuple(roots)
        self._tick_s = tick_s
        self._pss_s = pss_s
        self._late = 0
        self._cpu_s = self._wall_s = 0.0
        self._root_shares: dict[int, float] = {}

    def about(self) -> dict[str, Any]:
        """Return how it sampled, for the manifest: rate, ticks more than half a period late, the
        longest time between two samples, the sampler's own share of a core, missing sensors; and
        the largest share of a core that a root process used by itself, such as a gateway, whose one
        thread serves all requests."""
        wall_s = max(self._wall_s, 1e-9)
        return {
            "hz": round(len(self.samples) / wall_s, 2),
            "late_ticks": self._late,
            "longest_gap_s": self._longest_gap_s(),
            "cpu_share": round(self._cpu_s / wall_s, 4),
            "missing": list(self.missing),
            "root_cpu_share": max(self._root_shares.values(), default=None),
        }

    def _longest_gap_s(self) -> float | None:
        """Return None with fewer than two samples."""
        gaps = (after.t_ns - before.t_ns for before, after in pairwise(self.samples))
        longest = max(gaps, default=None)
        return None if longest is None else round(longest / 1e9, 3)

    def _run(self) -> None:
        """Sample at absolute times, so that a late tick delays no later tick."""
        start = due = time.monotonic()
        next_pss = next_tree = start
        family: list[int] = []
        gpus, shares = GpuMemory(self.missing), SharesReader()
        before = {pid: _used_s(pid) for pid in self._roots}
        while not self._stop.wait(max(due - time.monotonic(), 0.0)):
            now = time.monotonic()
            self._late += now - due > self._tick_s / 2
            if now >= next_tree:
                family = [pid for root in self._roots for pid in tree(root)]
                next_tree = now + TREE_S
            if now >= next_pss and not shares.busy:
                shares.begin(family)
                next_pss = now + self._pss_s
            self.samples.append(self._sample(family, shares, gpus))
            due += self._tick_s * max(1, math.ceil((time.monotonic() - due) / self._tick_s))
        if shares.busy:
            self.samples.append(self._sample(family, shares, gpus, wait=True))
        shares.close()
        self._wall_s = time.monotonic() - start
        self._cpu_s = time.thread_time() + shares.cpu_s
        for pid, used_s in before.items():
            now_s = _used_s(pid)
            if used_s is not None and now_s is not None:
                self._root_shares[pid] = round((now_s - used_s) / max(self._wall_s, 1e-9), 4)

    def _sample(
        self, family: Sequence[int], shares: SharesReader, gpus: GpuMemory, *, wait: bool = False
    ) -> Sample:
        anonymous = _sum(anonymous_bytes(pid) for pid in family)
        ended, found = shares.take(wait=wait)
        if ended and found is None and _NO_SHARES not in self.missing:
            self.missing.append(_NO_SHARES)
        pss, uss = found or (None, None)
        return Sample(time.monotonic_ns(), anonymous, pss, uss, len(family), gpus.read(family))


def _sum(readings: Iterable[int | None]) -> int | None:
    known = [reading for reading in readings if reading is not None]
    return sum(known) if known else None


def _used_s(pid: int) -> float | None:
    """Return the processor time of a process without its children; None if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return None
    return float(times.user + times.system)
