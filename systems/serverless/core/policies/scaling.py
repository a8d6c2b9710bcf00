"""When a function gets another instance beside those it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..state import State


class Scaling(Protocol):
    @property
    def name(self) -> str: ...

    def wants_another(self, function: str, state: State) -> bool:
        """Asked where every instance of ``function`` is starting or full and requests wait."""


@dataclass(frozen=True, slots=True)
class FullBatchWaiting:
    """One more, on a device that has none of the function's, for each full batch that waits
    beyond what the present ones will take."""

    name: str = "full-batch-waiting"

    def wants_another(self, function: str, state: State) -> bool:
        instances = state.of_function.get(function, {})
        if len(instances) >= len(state.devices):
            return False
        limit = state.world.settings.max_batch_size
        return len(state.queue(function)) > limit * len(instances)
