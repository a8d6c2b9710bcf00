"""What telemetry says about the conditions of a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_BUSY_SHARE = 0.9
_STOOD_STILL_S = 1.0
"""Ten sampling periods: a driver at work answers within one."""


def telemetry_warnings(telemetry: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield a warning if a root process of the system, such as a gateway, used nearly a core, whose
    one thread may have been the limit; and one if nothing was sampled for some time, in which
    the system may have stood still too."""
    told = telemetry or {}
    share, gap_s = told.get("root_cpu_share"), told.get("longest_gap_s")
    if share is not None and share >= _BUSY_SHARE:
        yield f"a front process of the system used {share:.0%} of a core: it may be the limit"
    if gap_s is not None and gap_s >= _STOOD_STILL_S:
        yield f"no memory was sampled for {gap_s:.1f} s: machine, driver or sampler stood still"
