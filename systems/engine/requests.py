"""The engine's input and output types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """``temperature`` 0 is greedy. Samples depend only on ``seed`` and the prompt. Generation ends
    after ``max_tokens``, or with a token of ``stop_token_ids`` unless ``ignore_eos``."""

    request_id: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    adapter: str | None = None
    """The adapter's name, for engines that hold several."""


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A token of a request. ``finished``: why it was the last one, or None. A stop token is
    reported too."""

    request_id: int
    token_id: int
    finished: Finish | None
