"""What the probes of a machine's cores send."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from .probe import Request

FUNCTIONS = tuple(f"f{index}" for index in range(5))
COLD_APART_S = 4.0
WARM_APART_S = 5.0
"""Longer than a batch, so that batches do not overlap."""
BATCHES, PROMPTS, ROUNDS, STEPS = (1, 2, 4, 8), (8, 32, 128), 2, 8
PAIRS = 6
MOST_TOKENS = 512
"""Of a batch's prompts together."""
SHORT = 8


def starts(functions: int = len(FUNCTIONS)) -> list[Request]:
    """The first request of each function: the first one needs everything, the others a fork."""
    first = 12.0
    return [(0.0, FUNCTIONS[0], 32, 4)] + [
        (first + COLD_APART_S * 2 * index, name, 32, 4)
        for index, name in enumerate(FUNCTIONS[1:functions])
    ]


def batches() -> list[Request]:
    """Batches of several sizes and prompt lengths for a hot instance."""
    return batches_from(starts()[-1][0] + COLD_APART_S * 2)


def batches_from(
    at_s: float,
    batches: Sequence[int] = BATCHES,
    prompts: Sequence[int] = PROMPTS,
    apart_s: float = WARM_APART_S,
) -> list[Request]:
    """Batches, starting at ``at_s``. Before each, at the same instant, comes a request of a single
    token: the others wait for its prefill and run as one batch, beside which nothing decodes. (A
    request that decodes beside it would have the batch computed in pieces, with steps between.)"""
    requests: list[Request] = []
    for _ in range(ROUNDS):
        for batch, prompt in product(batches, prompts):
            if batch * prompt <= MOST_TOKENS:
                requests += [(at_s, FUNCTIONS[0], SHORT, 1)]
                requests += [(at_s, FUNCTIONS[0], prompt, STEPS)] * batch
                at_s += apart_s
    return requests


def pairs(at_s: float) -> list[Request]:
    """Requests of two functions at the same instant, whose instances work beside each other."""
    times = [at_s + WARM_APART_S * number for number in range(PAIRS)]
    return [(at, function, SHORT, STEPS) for at in times for function in FUNCTIONS[:2]]


def pauses() -> list[Request]:
    """Calls of one function, far enough apart that it is parked between them, but close enough that
    it is not stopped."""
    return [(at_s, FUNCTIONS[0], 8, 2) for at_s in (0.0, 24.0, 30.0, 36.0)]
