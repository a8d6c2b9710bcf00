"""A sample of a system's memory, measured from outside."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Sample(NamedTuple):
    """Sums over all processes, at a time of the monotonic clock. A value is None if it was not read
    at this tick or cannot be read. ``gpu_bytes``: by device, of the trees' processes if the driver
    reports memory by process, else of the whole device."""

    t_ns: int
    anonymous_bytes: int | None
    pss_bytes: int | None
    uss_bytes: int | None
    processes: int
    gpu_bytes: Mapping[str, int] = MappingProxyType({})
