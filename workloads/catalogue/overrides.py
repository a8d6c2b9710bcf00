"""Overrides of a workload. An override that cannot be applied is refused in one line, so that a run
is always the requested one."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ..errors import WorkloadError
from ..lengths import COLUMNS, Lengths, LogNormal, with_lengths
from ..skew import skewed
from ..synthesis import MOST_REQUESTS
from ..trace import Workload

MOST_TOKENS = 1_000_000
"""Maximum of one prompt or response: no model has a longer context."""
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]


class Overrides(BaseModel):
    """Overrides of a workload. Applied in this order: generate or read, window, first functions,
    skew, ramp, cap, compress, lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start_s: NonNegativeFloat = 0.0
    """First second to take, in the trace's own time."""
    duration_s: PositiveFloat | None = None
    """Seconds of the trace's own time, before compression."""
    functions: PositiveInt | None = None
    """Only the first so many functions; their requests stay unchanged."""
    skew: str | None = None
    """How the same arrivals are distributed over the functions: ``uniform``, ``zipf-1.2``,
    ``power-0.5``, ``hot-0.9`` or ``distinct``; None: as in the workload."""
    ramp: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Rate at the start as a factor of the mean; it changes linearly to 2 minus this at the end."""
    requests: Annotated[int, Field(ge=1, le=MOST_REQUESTS)] | None = None
    """Only the first so many requests."""
    time_scale: PositiveFloat = 1.0
    """Speed-up: 60 replays an hour in a minute; keeps every CV."""
    lengths: str | None = None
    """Other lengths by name: sharegpt-like, gsm8k-like, or those of a catalogue entry."""
    prompt_tokens: Tokens | None = None
    """Length of all prompts, instead of drawn lengths."""
    output_tokens: Tokens | None = None
    max_prompt_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    expansion: str | None = None
    """The rule that expands a slice's counts per minute to arrivals; None: uniform."""

    def generated_s(self, own_s: float) -> float:
        """Seconds to generate for an entry whose default duration is ``own_s``."""
        return own_s if self.duration_s is None else self.start_s + self.duration_s


def play(workload: Workload, changes: Overrides, seed: int) -> Workload:
    """Apply the overrides up to compression. Raises ``WorkloadError`` if the window is outside the
    workload or no request is left."""
    workload = _stretch(workload, changes)
    workload = workload.first(changes.functions) if changes.functions else workload
    workload = skewed(workload, changes.skew, seed=seed) if changes.skew else workload
    workload = workload.ramped(changes.ramp) if changes.ramp != 1 else workload
    workload = workload.capped(changes.requests) if changes.requests else workload
    workload = workload.compress(changes.time_scale) if changes.time_scale != 1 else workload
    if not len(workload):
        asked = changes.model_dump(exclude_unset=True)
        raise WorkloadError(f"workload {workload.name!r}: no request is left with {asked}")
    return workload


def _stretch(workload: Workload, changes: Overrides) -> Workload:
    lasts_s = workload.duration_ns / 1e9
    left_s = lasts_s - changes.start_s
    length_s = left_s if changes.duration_s is None else changes.duration_s
    if left_s <= 0 or round((length_s - left_s) * 1e9) > 0:
        raise WorkloadError(
            f"workload {workload.name!r} lasts {lasts_s:g} s: it has no {length_s:g} s from second"
            f" {changes.start_s:g} on (start_s, duration_s)"
        )
    if not changes.start_s and round(length_s * 1e9) == workload.duration_ns:
        return workload
    return workload.window(changes.start_s, length_s)


def draw_lengths(workload: Workload, changes: Overrides, seed: int, *models: Lengths) -> Workload:
    """Draw lengths from ``models`` (prompt, output), fixed or limited by the overrides."""
    prompt, output = (
        _as_asked(model, exactly, most)
        for model, (exactly, most) in zip(models, _asked(changes), strict=True)
    )
    return with_lengths(workload, seed, prompt, output)


def cut_lengths(workload: Workload, changes: Overrides) -> Workload:
    """Fix or limit the workload's own lengths by the overrides."""
    columns: dict[str, Any] = {}
    for name, (exactly, most) in zip(COLUMNS, _asked(changes), strict=True):
        own = workload.requests[name].to_numpy()
        if exactly is not None:
            columns[name] = np.full(len(own), exactly)
        elif most is not None:
            columns[name] = np.minimum(own, most)
    if not columns:
        return workload
    wanted = {key for name in COLUMNS for key in (name, f"max_{name}")}
    said = changes.model_dump(include=wanted, exclude_none=True)
    all_set = None not in (changes.prompt_tokens, changes.output_tokens)
    step = "lengths" if all_set else "cut-lengths"
    return workload.with_columns(workload.provenance.then(step, **said), **columns)


_Asked = tuple[int | None, int | None]


def _asked(changes: Overrides) -> tuple[_Asked, _Asked]:
    """For prompts and outputs: (exact length, maximum length)."""
    return (
        (changes.prompt_tokens, changes.max_prompt_tokens),
        (changes.output_tokens, changes.max_output_tokens),
    )


def _as_asked(model: Lengths, exactly: int | None, most: int | None) -> Lengths:
    if exactly is not None:
        return LogNormal(median=exactly, sigma=0, high=exactly, source="set by the experiment")
    if most is not None and most < model.high:
        return model.model_copy(update={"high": most, "low": min(model.low, most)})
    return model
