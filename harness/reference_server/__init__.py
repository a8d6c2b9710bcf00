"""A server with known send times, to measure clients against.

It streams OpenAI completions and chats from the prompt's own token ids, at a given pace. Every
event contains the monotonic time at which it was passed to the socket; a log has the same times.
The model's name selects faults.
"""

from .oracle import Expected, expect
from .running import ReferenceServer, running_reference_server

__all__ = ["Expected", "ReferenceServer", "expect", "running_reference_server"]
