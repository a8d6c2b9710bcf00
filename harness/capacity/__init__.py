"""The capacity of a system: the highest load at which it keeps stated goals, found by bisection."""

from .finder import find
from .goal import Goal, parse_goal
from .limits import Limits
from .record import CapacityRecord, Request, is_capacity, new_capacity, open_capacity
from .result import Capacity

__all__ = [
    "Capacity",
    "CapacityRecord",
    "Goal",
    "Limits",
    "Request",
    "find",
    "is_capacity",
    "new_capacity",
    "open_capacity",
    "parse_goal",
]
