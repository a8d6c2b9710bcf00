"""Memory of the processes of a platform, on the host and on the device, as series that must be
flat: one for each process that lives throughout, and one for each role whose processes start and
end meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.runtime.process_memory import shares

from . import process_tree
from .device_memory import Reading

THROUGHOUT = 0.8
"""Share of the samples in which a process must be to have a series of its own."""
POINTS = 8
"""The least number of samples that a series is judged by."""
GROWS = {"host": 0.05, "device": 0.02}
"""Growth as a share of the median up to which a series counts as flat."""
NO_PROCESS = "no process"
Slope = Callable[[list[float], list[float], float, float], dict[str, Any]]
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds, in MB; ``host``: its unique set size (USS)."""

    pid: int
    role: str
    host: float
    device: float


@dataclass(frozen=True, slots=True)
class Processes:
    """A sample. ``rest``: MB on the device that no process accounts for, such as shared copies;
    ``ended``: those of processes that have ended."""

    t_s: float
    held: tuple[Held, ...]
    rest: float
    ended: float


def sample(t_s: float, templates: Sequence[int], reading: Reading) -> Processes:
    """Sample the forks of ``templates``."""
    forks = [pid for template in templates for pid in process_tree.children_of(template)]
    held = tuple(each for pid in forks if (each := _held(pid, reading)) is not None)
    return Processes(t_s, held, reading.rest / 1e6, reading.of_ended() / 1e6)


def _held(pid: int, reading: Reading) -> Held | None:
    host, role = shares(pid), process_tree.role_of(pid)
    if host is None or not role:
        return None
    return Held(pid, role, host.uss / 1e6, reading.by_process.get(pid, 0) / 1e6)


def series(
    samples: Sequence[Processes], seconds: float, slope: Slope, kind: str = "cuda"
) -> dict[str, Any]:
    """Return the slopes by name: ``host`` or ``device``, and the process or role. On the CPU the
    device is the host."""
    named = [("host", *each) for each in _points(samples, "host")]
    if kind != "cpu":
        named += [("device", *each) for each in _points(samples, "device")]
        named.append(("device", NO_PROCESS, [(each.t_s, each.rest) for each in samples]))
    return {
        f"{where}: {name}": slope(
            [t_s for t_s, _ in points], [value for _, value in points], seconds, GROWS[where]
        )
        for where, name, points in named
        if len(points) >= POINTS and any(value for _, value in points)
    }


def _points(samples: Sequence[Processes], where: str) -> Iterator[tuple[str, Points]]:
    names = _names(samples)
    for name in sorted(set(names.values())):
        found: Points = []
        for each in samples:
            mine = [getattr(held, where) for held in each.held if names[held.pid] == name]
            if mine:
                found.append((each.t_s, float(np.mean(mine))))
        yield name, found


def _names(samples: Sequence[Processes]) -> dict[int, str]:
    """Return the name of the series of each process: its own, or its role's."""
    seen = Counter(held.pid for each in samples for held in each.held)
    roles = {held.pid: held.role for each in samples for held in each.held}
    numbers: defaultdict[str, int] = defaultdict(int)
    names = {}
    for pid, role in sorted(roles.items()):
        if seen[pid] >= THROUGHOUT * len(samples):
            numbers[role] += 1
            names[pid] = f"{role} {numbers[role]}"
        else:
            names[pid] = f"{role}s"
    return names
