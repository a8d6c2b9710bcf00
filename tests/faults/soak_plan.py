"""What a soak does, and what it has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from systems.interface import Isolation

from .load import Answer
from .process_series import Processes
from .target import Target


@dataclass(frozen=True)
class Plan:
    """What a soak does. ``places``: adapters that a shared instance holds at the same time."""

    minutes: float
    functions: int
    rate: float
    seed: int
    target: Target
    level: Isolation
    places: int
    popularity: str
    keep_alive_s: float

    @property
    def names(self) -> list[str]:
        return [f"f{index}" for index in range(self.functions)]

    @property
    def options(self) -> dict[str, Any]:
        """No container is kept alive: each call of an idle function starts a process."""
        alone: dict[str, Any] = {"container_keep_alive_s": 0.0}
        if self.level == "function":
            return alone
        return alone | {"adapter_places": self.places, "backbones_at_deployment": True}


@dataclass(frozen=True, slots=True)
class Sample:
    """``t_s``: seconds from the start. Anonymous memory is what a process has allocated, whether
    forks share it or not. The unique set size (USS, ``gateway_mb`` and ``template_mb``) also has
    the pages of library files that no other process maps at the moment, and lacks those of the
    template that a fork shares: it grows when another program ends."""

    t_s: float
    gateway_anonymous_mb: float
    template_anonymous_mb: float
    gateway_mb: float
    template_mb: float
    descriptors: int
    processes: Processes


@dataclass
class Watched:
    """What a soak has seen. ``seconds``: how long it sent; ``unfinished``: requests without an
    answer when it was interrupted; ``left``: memory of the device that was not given back."""

    answers: list[Answer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    unfinished: int = 0
    instances: int = 0
    left: list[str] = field(default_factory=list)
