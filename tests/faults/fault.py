"""A fault to inject, and the result of injecting it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from systems.interface import Deployment

from . import stage as stages
from .stage import Stage
from .target import Target

Undo = Callable[[], None]
Inflict = Callable[[Stage, np.random.Generator], Awaitable[Undo | None]]


class MissedError(Exception):
    """The target of the fault did not exist at the moment of the injection."""


@dataclass(frozen=True)
class Fault:
    """``allowed``: outcomes that a request may have besides ok. ``recovers_s``: time limit for
    every function to answer a request that was sent after the fault.
    ``cold``: inject it while the platform starts, not while it serves. ``ends``: the fault ends
    the platform. ``awaited_s``: how long the target may take to appear. ``brief``: use a very
    short keep-alive for everything. ``cluster``: inject it into a cluster of two nodes.
    ``shared``: the functions share an instance.
    ``patience_s``: client timeout; None: longer than the gateway's request timeout.
    ``pause_s``: time until the fault is undone. ``prepare``: called before the platform starts;
    returns the function that undoes it."""

    name: str
    inflict: Inflict
    allowed: frozenset[str]
    recovers_s: float
    cold: bool = False
    ends: bool = False
    awaited_s: float = 0.0
    brief: bool = False
    cluster: bool = False
    shared: bool = False
    rate_rps: float = 8.0
    patience_s: float | None = None
    pause_s: float = 0.0
    prepare: Callable[[Stage], Undo] | None = None

    def deployment(self, target: Target) -> Deployment:
        """Return the deployment that it is injected into."""
        if self.cluster:
            return stages.two_nodes(target)
        if self.shared:
            return stages.shared(target)
        return stages.brief(target) if self.brief else stages.deployment(target=target)


@dataclass(frozen=True)
class Seen:
    """Result of one moment. ``answers``: number of requests by outcome. ``problems``: violations
    of what is required; empty if there were none."""

    moment: int
    fault: str
    at_s: float
    answers: Mapping[str, int]
    slowest_s: float
    recovered_s: float | None
    problems: tuple[str, ...]
    limit_s: float
    about: Mapping[str, float] = field(default_factory=dict)
