"""The bytes of each holding over time, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from systems.interface import MemoryOwner, MemoryStep

from .busy import Times

Holder = tuple[str, MemoryOwner, str | None]
"""Device, owner, function or group (None: shared by all)."""


class Sizes(NamedTuple):
    """``size[i]`` bytes are held from ``at[i]`` on, in order of time."""

    at: Times
    size: Times


def by_holder(memory: Sequence[MemoryStep]) -> Mapping[Holder, Sizes]:
    """Split memory steps by holder, in order of first appearance in time."""
    found: dict[Holder, tuple[list[int], list[int]]] = {}
    for step in sorted(memory, key=attrgetter("t_ns")):
        key = (step.device, step.owner, step.function_id)
        at, size = found.get(key) or found.setdefault(key, ([], []))
        at.append(step.t_ns)
        size.append(step.bytes)
    return {
        key: Sizes(np.array(at, np.int64), np.array(size, np.int64))
        for key, (at, size) in found.items()
    }
