"""Measures the engine before it serves: what a merged batch saves, and what a switch costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from systems.engine.requests import GenerationRequest

_PROMPT = tuple(range(3, 35))
_STEPS, _SWITCHES = 6, 3


def step_times(engine: Any, loads_s: Mapping[str, float]) -> Mapping[str, float]:
    """Measure medians in seconds: ``merged_s`` and ``unmerged_s`` of a decode step of one request
    of the first adapter, ``switch_s``, and ``load_s`` (of ``loads_s``, by adapter). Empty if there
    is no adapter. The engine's state is unchanged afterwards."""
    if not loads_s:
        return {}
    name = next(iter(loads_s))
    unmerged_s = _step_s(engine, name)
    switch_s = statistics.median(_switch_s(engine, name) for _ in range(_SWITCHES))
    engine.merge(name)
    merged_s = _step_s(engine, name)
    engine.merge(None)
    return {
        "merged_s": merged_s,
        "unmerged_s": unmerged_s,
        "switch_s": switch_s,
        "load_s": statistics.median(loads_s.values()),
    }


def _step_s(engine: Any, name: str) -> float:
    asked = GenerationRequest(-1, _PROMPT, _STEPS + 2, ignore_eos=True, adapter=name)
    engine.prefill([asked])
    engine.decode()
    found = statistics.median(_timed(engine.decode) for _ in range(_STEPS - 1))
    engine.cancel(-1)
    return found


def _switch_s(engine: Any, name: str) -> float:
    """Return half the time to merge the adapter and to unmerge it again."""
    return (_timed(lambda: engine.merge(name)) + _timed(lambda: engine.merge(None))) / 2


def _timed(act: Callable[[], Any]) -> float:
    """Return the seconds of ``act``, including the work that it starts on a GPU."""
    start = time.perf_counter()
    act()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter() - start
