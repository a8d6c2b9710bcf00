"""A server whose true send times are known, to measure clients against.

It answers OpenAI's streaming completions from the prompt's own token ids, at a set pace, embeds
in every event the monotonic time at which it was handed to the socket, keeps the same times in a
log, and misbehaves when the model's name asks it to.
"""

from .oracle import Expected, expect
from .running import ReferenceServer, running_reference_server

__all__ = ["Expected", "ReferenceServer", "expect", "running_reference_server"]
