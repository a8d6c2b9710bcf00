"""Whether a queue grows as long as requests come: then the load is beyond what the system serves,
however its goals are set."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..metrics import Frame

_PARTS = 4
_GROWTH = 1.5
_FEWEST = 40
"""With fewer requests, a burst cannot be told from a growing queue."""


def grows(frame: Frame) -> bool:
    """Tell whether more requests are in the system in every quarter of the time in which requests
    come than in the one before, in the last one by half more than in the second."""
    if frame.n < _FEWEST:
        return False
    due = frame.number("scheduled_ns")
    ends = frame.number("end_ns")
    # A request that was never sent is not in the system.
    gone = np.sort(np.where(np.isnan(ends), due, ends))
    at = np.linspace(due[0], due[-1], frame.n)
    within = due.searchsorted(at, side="right") - gone.searchsorted(at, side="right")
    means = [float(part.mean()) for part in np.array_split(within, _PARTS)]
    rises = all(later > earlier for earlier, later in pairwise(means))
    return rises and means[-1] >= _GROWTH * means[1]
