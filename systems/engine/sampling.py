"""Chooses tokens from logits: greedy, or seeded sampling independent of other requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COLDEST = 1e-4
"""Lowest temperature above 0; dividing logits by less overflows."""


@dataclass(slots=True)
class Sampler:
    """The sampling state of one request. ``temperature`` 0 is greedy; ``top_p`` 1 keeps all."""

    temperature: float
    top_p: float
    generator: torch.Generator | None

    @classmethod
    def of(cls, temperature: float, top_p: float, seed: int) -> Sampler:
        generator = torch.Generator().manual_seed(seed) if temperature > 0 else None
        return cls(max(temperature, COLDEST), top_p, generator)

    def choose(self, logits: Tensor) -> int:
        """Draw a token from ``logits`` (vocabulary,) with the request's random stream. If the
        logits are NaN, return argmax instead of failing, which would end the whole batch."""
        probabilities = (logits / self.temperature).softmax(0)
        if math.isnan(probabilities[0]):
            return int(logits.argmax())
        tokens: Tensor | None = None
        if self.top_p < 1:
            probabilities, tokens = nucleus(probabilities, self.top_p)
        drawn = torch.multinomial(probabilities, 1, generator=self.generator)
        return int(drawn if tokens is None else tokens[drawn])


def choose_tokens(logits: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """Choose a token for each row of ``logits`` (rows, vocabulary)."""
    tokens: list[int] = logits.argmax(1).tolist()
    for row, sampler in enumerate(samplers):
        if sampler.generator is not None:
            tokens[row] = sampler.choose(logits[row])
    return tokens


def nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Return the smallest set of most likely tokens whose probabilities sum to at least ``top_p``
    (at least one token) and their probabilities, in descending order. Starts with the top few,
    because sorting a whole vocabulary costs more than a layer."""
    count = min(128, probabilities.numel())
    top, tokens = probabilities.topk(count)
    while count < probabilities.numel() and float(top.sum()) < top_p:
        count = min(8 * count, probabilities.numel())
        top, tokens = probabilities.topk(count)
    before = top.cumsum(0) - top
    kept = max(1, int((before < top_p).sum()))
    return top[:kept], tokens[:kept]
