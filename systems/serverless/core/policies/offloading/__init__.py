"""What is evicted when a device needs memory. One file per policy."""

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
