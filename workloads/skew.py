"""Skew: how a fixed load is distributed over its functions. Written as one word: ``uniform``,
``zipf-1.2``, ``power-0.5``, ``hot-0.9`` or ``distinct``. The arrivals stay; the function that each
calls is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from .compose import relabelled
from .errors import WorkloadError
from .popularity import Hot, Popularity, Power, Uniform, Zipf
from .streams import stream
from .trace import Workload

Ranks = np.ndarray[Any, np.dtype[np.int64]]
Chosen = Callable[[np.random.Generator, int, int], Ranks]
"""Returns the function's index of each request, from a stream and the numbers of requests and
functions."""


def _drawn(law: Popularity) -> Chosen:
    def choose(draws: np.random.Generator, requests: int, functions: int) -> Ranks:
        return np.asarray(draws.choice(functions, size=requests, p=law.shares(functions)))

    return choose


def _in_turn(draws: np.random.Generator, requests: int, functions: int) -> Ranks:
    """As many successive requests as there are functions are for different functions."""
    return np.resize(draws.permutation(functions), requests)


_OF_NUMBER: Mapping[str, Callable[[float], Popularity]] = {
    "zipf": lambda number: Zipf(exponent=number),
    "power": lambda number: Power(alpha=number),
    "hot": lambda number: Hot(share=number),
}


def parse(text: str) -> Chosen:
    """Parse a skew. Raise ``WorkloadError`` if it is none."""
    kind, dash, number = text.partition("-")
    try:
        if kind in _OF_NUMBER:
            return _drawn(_OF_NUMBER[kind](float(number) if dash else 1.0))
    except (ValueError, ValidationError):
        kind = text
    if text == "uniform":
        return _drawn(Uniform())
    if text == "distinct":
        return _in_turn
    raise WorkloadError(
        f"skew {text!r}: write uniform, zipf-EXPONENT, power-ALPHA, hot-SHARE (of the first"
        " function, up to 1) or distinct"
    )


def skewed(workload: Workload, text: str, *, seed: int) -> Workload:
    """Give each request to a function of the workload by the skew ``text``; the first functions
    are the most popular. The classes are recomputed."""
    ids = pa.array([function.id for function in workload.functions])
    chosen = parse(text)(stream(seed, workload.name, "skew"), len(workload), len(ids))
    provenance = workload.provenance.then("skew", skew=text, seed=seed)
    return relabelled(workload.with_columns(provenance, function=ids.take(pa.array(chosen))))
