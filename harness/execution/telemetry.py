"""Samples the memory of process trees and GPUs from outside, on the request clock.

Every tick reads two counters per process, which takes microseconds: anonymous and shared resident
pages. Two sizes need a walk of every page table, so they are read every few seconds only: the
proportional set size (PSS), which divides a shared page among the processes that map it, and the
unique set size (USS), the pages that no other process maps. The members of the trees are listed
twice a second. A value that cannot be read is reported as missing, never as 0.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil

from harness.cells.sample import Sample
from systems.runtime import cards

TICK_S = 0.1
PSS_S = 4.0
TREE_S = 0.5
_NO_SHARES = "pss and uss: the kernel does not tell (smaps_rollup)"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Context manager that samples in a thread. Child processes may start and end meanwhile."""

    def __init__(self, roots: Sequence[int], tick_s: float = TICK_S, pss_s: float = PSS_S) -> None:
        self.samples: list[Sample] = []
        self.missing: list[str] = []
        """Sensors that cannot be read, with the reason."""
        self._roots = tuple(roots)
        self._tick_s = tick_s
        self._pss_s = pss_s
        self._late = 0
        self._cpu_s = self._wall_s = 0.0
        self._root_shares: dict[int, float] = {}
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

    def about(self) -> dict[str, Any]:
        """Return how it sampled, for the manifest: rate, ticks more than half a period late, the
        sampler's own share of a core, missing sensors; and the largest share of a core that a root
        process used by itself, such as a gateway, whose one thread serves all requests."""
        wall_s = max(self._wall_s, 1e-9)
        return {
            "hz": round(len(self.samples) / wall_s, 2),
            "late_ticks": self._late,
            "cpu_share": round(self._cpu_s / wall_s, 4),
            "missing": list(self.missing),
            "root_cpu_share": max(self._root_shares.values(), default=None),
        }

    def _run(self) -> None:
        """Sample at absolute times, so that a late tick delays no later tick."""
        start = due = time.monotonic()
        next_pss = next_tree = start
        family: list[int] = []
        gpus = _Gpus(self.missing)
        before = {pid: _used_s(pid) for pid in self._roots}
        while not self._stop.wait(max(due - time.monotonic(), 0.0)):
            now = time.monotonic()
            self._late += now - due > self._tick_s / 2
            if now >= next_tree:
                family = [pid for root in self._roots for pid in tree(root)]
                next_tree = now + TREE_S
            with_pss = now >= next_pss
            next_pss = now + self._pss_s if with_pss else next_pss
            self.samples.append(self._sample(family, with_pss, gpus))
            due += self._tick_s * max(1, math.ceil((time.monotonic() - due) / self._tick_s))
        self._wall_s = time.monotonic() - start
        self._cpu_s = time.thread_time()
        for pid, used_s in before.items():
            now_s = _used_s(pid)
            if used_s is not None and now_s is not None:
                self._root_shares[pid] = round((now_s - used_s) / max(self._wall_s, 1e-9), 4)

    def _sample(self, family: Sequence[int], with_pss: bool, gpus: _Gpus) -> Sample:
        anonymous = _sum(anonymous_bytes(pid) for pid in family)
        found = [each for each in map(shares, family) if each] if with_pss else []
        if with_pss and not found and _NO_SHARES not in self.missing:
            self.missing.append(_NO_SHARES)
        pss, uss = _sum(each.pss for each in found), _sum(each.uss for each in found)
        return Sample(time.monotonic_ns(), anonymous, pss, uss, len(family), gpus.read(family))


class _Gpus:
    """Reads GPU memory through NVML, if available."""

    def __init__(self, missing: list[str]) -> None:
        import pynvml

        self._nvml = pynvml
        self._handles: dict[str, Any] = {}
        try:
            for index, handle in enumerate(cards.handles()):
                self._handles[f"cuda:{index}"] = handle
        except pynvml.NVMLError as error:
            missing.append(f"nvml: {error}")

    def read(self, family: Sequence[int]) -> Mapping[str, int]:
        found = {name: self._used(handle, set(family)) for name, handle in self._handles.items()}
        return {name: used for name, used in found.items() if used is not None}

    def _used(self, handle: Any, family: set[int]) -> int | None:
        try:
            told = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            mine = [each.usedGpuMemory for each in told if each.pid in family]
            if mine and None not in mine:
                return int(sum(mine))
            # Inside a container the driver lists none of our processes: read the whole device.
            return int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        except self._nvml.NVMLError:
            return None


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


def tree(root: int) -> Iterator[int]:
    """Yield ``root`` and its descendants, as the kernel lists them."""
    yield root
    try:
        tasks = os.listdir(f"/proc/{root}/task")
        lists = [Path(f"/proc/{root}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return
    for text in lists:
        for child in text.split():
            yield from tree(int(child))


def anonymous_bytes(pid: int) -> int | None:
    """Return the resident memory of a process that no file backs. Pages that a fork has not copied
    yet count for both parent and child. None if the process has ended."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return None
    return (int(resident) - int(shared)) * _PAGE


class Shares(NamedTuple):
    """Bytes of a process: proportional (PSS) and unique (USS, private pages) set size."""

    pss: int
    uss: int


def shares(pid: int) -> Shares | None:
    """Return the kernel's sums over all mappings; None if they cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        # After a line for the range of addresses: "Pss:      1234 kB" and so on.
        size = {name: int(kilo) * 1024 for name, kilo, _ in map(str.split, lines[1:])}
        return Shares(size["Pss:"], size["Private_Clean:"] + size["Private_Dirty:"])
    except (OSError, ValueError, KeyError):
        return None
