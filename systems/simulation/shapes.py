"""The shapes of an engine that replays graphs: which are ready, and what the others take."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator

from systems.engine.cuda.buckets import (
    LONGEST_PIECE,
    PATIENCE,
    TILE,
    batch_bucket,
    batch_buckets,
    mixed_row_bucket,
    mixed_rows,
    tile_buckets,
    tiles_of,
)

from .engine_numbers import Graphs
from .passes import Pass

TWICE = 2
_NS = 1e9


class Shapes:
    """Of one engine. ``first_prompt_s``: additional time of the first prompt of its process, if
    preparation did not come before; None: a prompt ran there already. ``mixed``: whether it has
    mixed passes."""

    def __init__(
        self,
        numbers: Graphs,
        max_batch_size: int,
        max_context_tokens: int,
        first_prompt_s: float | None = None,
        *,
        mixed: bool = True,
    ) -> None:
        self._numbers, self._first_prompt_s = numbers, first_prompt_s
        self._max_batch_size = max_batch_size
        self._missed: Counter[Hashable] = Counter()
        self._runs: Counter[Hashable] = Counter()
        self._unprepared = deque(_preparations(max_batch_size, max_context_tokens, mixed=mixed))
        self.prepared(1)  # the kernels artifact includes the first call

    @property
    def unprepared(self) -> int:
        """The calls of preparation that remain."""
        return len(self._unprepared)

    @property
    def prepare_ns(self) -> float:
        """The time of one call of preparation."""
        return self._numbers.prepare_s.value * _NS

    def prepared(self, calls: int) -> None:
        """Record that the next ``calls`` calls of preparation were made."""
        for _ in range(calls):
            self._runs[self._unprepared.popleft()] += 1

    def prompts_ns(self, passes: Iterable[Pass]) -> float:
        """Record passes over prompts; return the time that they take for their shapes."""
        return sum(self._run(("prompts", each.tokens)) for each in passes)

    def mixed_ns(self, requests: int, tokens: int) -> float | None:
        """Record a pass over ``tokens`` of prompts that also computes a token of each of
        ``requests``; return the time that it takes for its shape. None: the shape never ran, and
        its first run is put off."""
        shape = "mixed", mixed_row_bucket(requests, self._max_batch_size), tokens
        if shape not in self._runs and self._missed[shape] < PATIENCE:
            self._missed[shape] += 1
            return None
        return self._run(shape)

    def steps_ns(self, requests: int, steps: int) -> float:
        """Record ``steps`` of ``requests``; return the time that they take for their shape."""
        shape = "steps", batch_bucket(requests)
        before = self._runs.get(shape, 0)
        if before >= TWICE:
            return 0.0
        return sum(self._run(shape) for _ in range(min(steps, TWICE - before)))

    def _run(self, shape: Hashable) -> float:
        """Record one run of ``shape``; return its additional time."""
        runs = self._runs[shape] = self._runs.get(shape, 0) + 1
        numbers = self._numbers
        if runs > TWICE:
            return 0.0
        if runs == TWICE:
            return numbers.capture_s.value * _NS
        first_s, self._first_prompt_s = self._first_prompt_s, None
        return (first_s or numbers.first_s.value) * _NS


def _preparations(
    max_batch_size: int, max_context_tokens: int, *, mixed: bool
) -> Iterator[Hashable]:
    """Yield the shape of each call of preparation, in the order of ``engine/cuda/engine.py``."""
    longest = min(max_context_tokens - 1, LONGEST_PIECE)
    alone = tile_buckets(longest)
    together = tile_buckets(max_batch_size * tiles_of(longest) * TILE)
    yield from _prompt_preparations(alone)
    for rows in batch_buckets(max_batch_size):
        yield from [("steps", rows)] * TWICE
    yield from _prompt_preparations(each for each in together if each not in alone)
    beside = tile_buckets(min(LONGEST_PIECE, (max_batch_size - 1) * tiles_of(longest) * TILE))
    for rows in mixed_rows(max_batch_size) if mixed else ():
        for tiles in beside:
            yield from [("mixed", rows, tiles * TILE)] * TWICE


def _prompt_preparations(tiles: Iterable[int]) -> Iterator[Hashable]:
    for each in tiles:
        yield from [("prompts", each * TILE)] * TWICE
