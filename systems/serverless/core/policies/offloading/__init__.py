"""What gives way when a device must hold something new. A file a policy."""

from .base import Eviction, Need, NoOffloading, Offloading, held_by
from .least_recently_used import LeastRecentlyUsed
from .value_density import ValueDensity

__all__ = [
    "Eviction",
    "LeastRecentlyUsed",
    "Need",
    "NoOffloading",
    "Offloading",
    "ValueDensity",
    "held_by",
]
