"""What may be changed of a workload when it is named, and how. What cannot be honoured is refused
in one line, so that no run is another one than was asked for."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ..errors import WorkloadError
from ..lengths import COLUMNS, Lengths, LogNormal, with_lengths
from ..trace import Workload

MOST_TOKENS = 1_000_000
"""Of one prompt or answer: no model's context is longer."""
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]


class Overrides(BaseModel):
    """What may be changed of a workload when it is named. Order: generate or read, window, first
    functions, compress, lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start_s: NonNegativeFloat = 0.0
    """Second of the trace's own time to begin at."""
    duration_s: PositiveFloat | None = None
    """Seconds of the trace's own time, before compression."""
    functions: PositiveInt | None = None
    """The first so many alone, of those that there are; their requests are what they were beside
    the others."""
    time_scale: PositiveFloat = 1.0
    """60 plays an hour in a minute; keeps every CV."""
    lengths: str | None = None
    """Other lengths by name: sharegpt-like, gsm8k-like, or those of an entry that has some."""
    prompt_tokens: Tokens | None = None
    """All prompts of this length, instead of drawn ones."""
    output_tokens: Tokens | None = None
    max_prompt_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    expansion: str | None = None
    """The rule that makes arrivals of a real slice's counts per minute; None: uniform."""

    def generated_s(self, own_s: float) -> float:
        """How many seconds to generate of an entry that lasts ``own_s`` unless told otherwise."""
        return own_s if self.duration_s is None else self.start_s + self.duration_s


def play(workload: Workload, changes: Overrides) -> Workload:
    """The stretch of it that is asked for, of so many functions, so many times as fast.
    ``WorkloadError`` where it has no such stretch, or nothing is left."""
    workload = _stretch(workload, changes)
    workload = workload.first(changes.functions) if changes.functions else workload
    workload = workload.compress(changes.time_scale) if changes.time_scale != 1 else workload
    if not len(workload):
        asked = changes.model_dump(exclude_unset=True)
        raise WorkloadError(f"workload {workload.name!r}: no request is left after {asked}")
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
    """With lengths drawn from ``models`` (of prompts, of answers), set or cut as asked."""
    prompt, output = (
        _as_asked(model, exactly, most)
        for model, (exactly, most) in zip(models, _asked(changes), strict=True)
    )
    return with_lengths(workload, seed, prompt, output)


def cut_lengths(workload: Workload, changes: Overrides) -> Workload:
    """With the lengths that it came with, set or cut as asked."""
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
    """Of prompts and answers: all of this length, at most so long."""
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
