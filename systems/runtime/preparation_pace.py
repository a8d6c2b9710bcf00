"""When an idle process prepares its engine for later requests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

PATIENCE_S = 1.0
"""While others work on its device, a process prepares one shape, a few tens of ms, in this time: on
a device that is never idle its engine is complete after a minute or two."""
ARRIVAL_S = 0.02
"""After its kernels are loaded, an instance waits this long for the request that woke it."""


class Pace:
    """Paces the steps of :meth:`~systems.engine.batching.Batching.prepare`: one after another if
    ``allowed``, else one in ``PATIENCE_S``. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.allowed = True
        self._clock = clock
        self._since = clock()
        self._pause_s = 0.0

    def loaded(self) -> None:
        """Record that the engine was built or has another adapter."""
        self._since, self._pause_s = self._clock(), ARRIVAL_S

    def prepared(self) -> None:
        """Record that a step was made."""
        self._since, self._pause_s = self._clock(), 0.0

    def wait_ms(self) -> int:
        """Return how long the next step has to wait."""
        pause_s = self._pause_s if self.allowed else PATIENCE_S
        return max(0, math.ceil((self._since + pause_s - self._clock()) * 1e3))
