"""What a fault is, and what was seen of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .stage import Stage

Undo = Callable[[], None]
Inflict = Callable[[Stage, np.random.Generator], Awaitable[Undo | None]]


class MissedError(Exception):
    """What the fault was meant for was not there at its moment."""


@dataclass(frozen=True)
class Fault:
    """``allowed``: how requests may end beside well. ``recovers_s``: how long after it every
    function must have answered a request that was sent after it. ``cold``: it comes while the
    platform starts rather than while it serves. ``ends``: the platform is gone with it.
    ``awaited_s``: for how long what it is meant for may take to come up. ``brief``: nothing is kept
    alive for longer than a moment. ``cluster``: it comes to a cluster of two nodes.
    ``patience_s``: how long a client waits; None: for longer than
    the gateway lets a request take.
    ``pause_s``: after how long it is undone. ``prepare``: what has to be so before the platform
    is up; it gives what makes it not so any more."""

    name: str
    inflict: Inflict
    allowed: frozenset[str]
    recovers_s: float
    cold: bool = False
    ends: bool = False
    awaited_s: float = 0.0
    brief: bool = False
    cluster: bool = False
    rate_rps: float = 8.0
    patience_s: float | None = None
    pause_s: float = 0.0
    prepare: Callable[[Stage], Undo] | None = None


@dataclass(frozen=True)
class Seen:
    """One moment. ``answers``: how many requests ended how. ``problems``: what should not have
    been, none where all is well."""

    moment: int
    fault: str
    at_s: float
    answers: Mapping[str, int]
    slowest_s: float
    recovered_s: float | None
    problems: tuple[str, ...]
    limit_s: float
    about: Mapping[str, float] = field(default_factory=dict)
