"""One request of a schedule, the input of a simulation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a schedule; ``at_ns`` is when the client sends it."""

    id: int
    at_ns: int
    function: str
    prompt_tokens: int
    output_tokens: int
