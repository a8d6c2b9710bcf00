"""A batch in its prefill."""

from __future__ import annotations

from typing import NamedTuple


class Prefill(NamedTuple):
    """A batch of ``size`` requests as its prefill began. ``joins``: its instance decodes other
    requests. ``first``: it is the first of its instance since that was ready, and takes longer.
    ``open``: its instance is in a decode step, after which it begins; others may come to it."""

    batch: int
    size: int
    joins: bool
    first: bool
    began_ns: int
    began_alone_ns: float
    """The same by the clock of its device's contention."""
    expected_ns: float
    """The time to its first tokens that was expected; 0: unknown."""
    open: bool = False
