"""Cores of their own for the load workers, so that client and system do not take turns on one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import HarnessError


@contextmanager
def apart(count: int) -> Iterator[tuple[int, ...]]:
    """Yield the last ``count`` cores of this process, which meanwhile runs, with all that it
    starts, on the others. Raise ``HarnessError`` if that leaves none."""
    ours = os.sched_getaffinity(0)
    own = sorted(ours)[len(ours) - count :]
    if len(own) < count or len(own) == len(ours):
        raise HarnessError(f"load_cores: {count} of {len(ours)} cores leave none for the system")
    os.sched_setaffinity(0, ours - set(own))
    try:
        yield tuple(own)
    finally:
        os.sched_setaffinity(0, ours)
