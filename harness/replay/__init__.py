"""Open-loop load: absolute schedule, Locust user, sender and reader, records of the client.

The processes, and why there are this many, are drawn in this folder's README.
"""

from .replay import Progress, ReplayResult, replay
from .schedule import Schedule, build_schedule

__all__ = ["Progress", "ReplayResult", "Schedule", "build_schedule", "replay"]
