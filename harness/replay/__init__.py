"""Open-loop load: absolute schedule, Locust user, sender and reader, the client's records.

README.md in this folder shows the processes and why there are this many.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import replay
    from .following import Progress
    from .result import ReplayResult, Tail
    from .schedule import Schedule, build_schedule

__all__ = ["Progress", "ReplayResult", "Schedule", "Tail", "build_schedule", "replay"]

_MODULES = {
    "Progress": "following",
    "ReplayResult": "result",
    "Schedule": "schedule",
    "Tail": "result",
    "build_schedule": "schedule",
    "replay": "client",
}


def __getattr__(name: str) -> Any:
    """Import on access: a sender is a process of this package that needs none of these modules, and
    importing pyarrow alone takes longer than starting the sender."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
