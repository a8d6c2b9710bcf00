"""When an idle process prepares its engine for later requests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

PATIENCE_S = 1.0
"""While others work on its device, a process prepares one shape, a few tens of ms, in this time: on
a device that is never idle its engine is complete after a minute or two."""
ARRIVAL_S = 0.02
"""A process that was told something waits this long for more: what follows to turn it into an
instance, its adapter, and the request that woke it."""


class Pace:
    """Paces the steps of :meth:`~systems.engine.batching.Batching.prepare`: one after another if
    ``allowed``, else one in ``PATIENCE_S``. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.allowed = True
        self._clock = clock
        self._prepared_s = self._heard_s = clock()

    def heard(self) -> None:
        """Record that the process was told something."""
        self._heard_s = self._clock()

    def prepared(self) -> None:
        """Record that a step was made."""
        self._prepared_s = self._clock()

    def wait_ms(self) -> int:
        """Return how long the next step has to wait."""
        pause_s = 0.0 if self.allowed else PATIENCE_S
        next_s = max(self._prepared_s + pause_s, self._heard_s + ARRIVAL_S)
        return max(0, math.ceil((next_s - self._clock()) * 1e3))
