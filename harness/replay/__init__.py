"""Open-loop load: absolute schedule, Locust user, sender and reader, the client's records.

README.md in this folder shows the processes and why there are this many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Progress, ReplayResult, Tail, replay
    from .schedule import Schedule, build_schedule

__all__ = ["Progress", "ReplayResult", "Schedule", "Tail", "build_schedule", "replay"]

_SCHEDULE = ("Schedule", "build_schedule")


def __getattr__(name: str) -> Any:
    """Import on access: a sender is a process of this package that needs none of these modules, and
    importing pyarrow alone takes longer than starting the sender."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client, schedule

    return getattr(schedule if name in _SCHEDULE else client, name)
