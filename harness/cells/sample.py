"""A sample of a system's memory, taken from outside."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Sample(NamedTuple):
    """Of all processes together, absolute monotonic time. A reading is None between its turns, and
    where nobody tells. ``gpu_bytes`` by device: of the trees' processes where the driver tells
    whose memory it is, of the whole device otherwise."""

    t_ns: int
    anonymous_bytes: int | None
    pss_bytes: int | None
    uss_bytes: int | None
    processes: int
    gpu_bytes: Mapping[str, int] = MappingProxyType({})
