"""Makes random adapters in places, of any ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from systems.engine.cuda.ops import LoraPlaces
from systems.engine.packed import Span

from .kernels import DEVICE, draw

Ranks = Sequence[int]
"""An adapter's rank on each span."""


def spans_of(*columns: tuple[int, int]) -> tuple[Span, ...]:
    """``columns``: start and size of each span."""
    firsts = [sum(size for _, size in columns[:index]) for index in range(len(columns))]
    return tuple(
        Span(f"{index}", start, first, size)
        for index, ((start, size), first) in enumerate(zip(columns, firsts, strict=True))
    )


def places(inner: int, rank: int, spans: tuple[Span, ...], adapters: Sequence[Ranks]) -> LoraPlaces:
    """Place adapters whose padding is infinite, so that reading it shows."""
    count, columns = len(adapters), sum(span.size for span in spans)
    a = draw(count, rank * len(spans), inner, seed=1) / inner**0.5
    b = draw(count, rank, columns, seed=2)
    bounds = torch.zeros(count, len(spans) + 1, dtype=torch.int32, device=DEVICE)
    for number, ranks in enumerate(adapters):
        bounds[number, 1:] = torch.tensor(ranks).cumsum(0)
        a[number, sum(ranks) :] = torch.inf
        for span, each in zip(spans, ranks, strict=True):
            b[number, each:, span.first : span.first + span.size] = torch.nan
    return LoraPlaces(a, b, bounds, spans)
