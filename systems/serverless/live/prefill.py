"""The batch of an instance whose prompts are being computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from .messages import RunBatch

if TYPE_CHECKING:
    from systems.engine.batching import Batching
    from systems.engine.requests import TokenEvent


@dataclass(slots=True)
class Prefill:
    """``requests``: ids of the batch; ``start_ns``: the start of its first piece; ``computed_ns``:
    how long its pieces were computed, without the decode steps between them; mixed passes count
    whole. The batch is reported as a whole, so its first tokens are kept, and its requests do not
    decode, until all prompts are complete."""

    batch: int
    requests: frozenset[int]
    start_ns: int
    back_to_back: bool
    computed_ns: int = 0
    events: list[TokenEvent] = field(default_factory=list)

    @classmethod
    def of(cls, batch: RunBatch, start_ns: int) -> Self:
        return cls(batch.batch, frozenset(batch.requests), start_ns, batch.back_to_back)

    def others(self, engine: Batching) -> frozenset[int]:
        """Return the running requests that are not of this batch."""
        return frozenset(engine.running) - self.requests

    def advance(self, engine: Batching) -> None:
        """Compute the next piece, or all that is left if no other request waits for it."""
        self.events += engine.advance(whole=not self.others(engine))

    def mix(self, engine: Batching) -> list[TokenEvent] | None:
        """Compute the next piece and a token of each other running request in one pass; return
        these tokens. None: the engine has no such pass, and nothing was computed."""
        mixed = engine.mix(self.others(engine))
        if mixed is None:
            return None
        self.events += mixed.first
        return mixed.further

    def cancel(self, request: int) -> None:
        """Drop the first token of a request that was cancelled."""
        self.events = [event for event in self.events if event.request_id != request]
