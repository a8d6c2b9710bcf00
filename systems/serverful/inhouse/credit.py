"""dLoRA's choice between merged and unmerged batches, with credits against starvation (Wu et al.,
OSDI 2024, §4; the authors' artifact, LLMServe/dLoRA-artifact, for what the text leaves open).

If one adapter has enough of the queued requests, the batch runs merged and the other requests wait.
Two thresholds define "enough", as fractions of the first-come-first-served batch: an adapter is
merged at ``enter`` or more, and stays merged at ``stay`` or more. Both adapt when the mode changes:
the request rate of the mode that ends is compared with the estimated rate of the other mode, and
entering the ended mode becomes easier or harder.

Requests that run early pay credits to the requests they pass over, so the sum of all credits is
constant. An adapter without credit cannot be merged. An adapter whose credit reaches twice its
initial value runs at once, unmerged, until its credit is back at the initial value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .batcher import Choice, Queued, admissible

_EASIER, _HARDER = 0.05, 1.1
"""A mode that paid off becomes easier by addition, one that did not harder by multiplication; as in
the artifact (``aimd_add``, ``aimd_mul``)."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Measured times in seconds: of a merged batch, of the same batch unmerged, of a switch, and of
    loading an adapter into a replica."""

    merged_s: float
    unmerged_s: float
    switch_s: float
    load_s: float

    @property
    def ratio(self) -> float:
        """Merged time divided by unmerged time. At most 1: merged work is a part of unmerged work,
        so a greater value is noise."""
        return min(1.0, self.merged_s / self.unmerged_s)


class _Counted(NamedTuple):
    """What an iteration adds to the counts of its period."""

    advanced: int
    otherwise: int


@dataclass(slots=True)
class _Period:
    """Counts since the last switch: iterations, requests that advanced in them, and requests that
    would have advanced in the other mode."""

    iterations: int = 0
    advanced: int = 0
    otherwise: int = 0


class CreditBatcher:
    """``patience``: for how many batches an adapter can be passed over before it must run."""

    def __init__(
        self, batch: int, adapters: Iterable[str | None], times: StepTimes, patience: int
    ) -> None:
        self._batch, self._times, self._patience = batch, times, float(patience)
        self.credits: dict[str | None, float] = dict.fromkeys(adapters, self._patience)
        self.credits.setdefault(None, self._patience)
        self.enter, self.stay = 1.0, times.ratio
        self._merged: str | None = None
        self._starving: frozenset[str | None] = frozenset()
        self._period, self._last = _Period(), _Counted(0, 0)
        self.repeats = False
        """The last choice changed nothing that a choice depends on: no credit and no mode."""

    def choose(self, queued: Sequence[Queued], room: int) -> Choice:
        before = self._merged, self._starving
        able = admissible(queued, room)
        first = able[: self._batch]
        counts = self._counts(able)
        self._starving = self._starved({each.adapter for each in able})
        if self._starving:
            run = sorted(able, key=lambda each: each.adapter not in self._starving)[: self._batch]
            merged = None
        else:
            merged = self._candidate(counts, len(first))
            mine = [each for each in able if each.adapter == merged]
            run = mine[: self._batch] if merged is not None else first
        self._count(merged, max(counts.values(), default=0), first, run)
        paid = run is not first and self._pay(first, run)
        self.repeats = not paid and before == (self._merged, self._starving)
        return Choice(tuple(each.id for each in run), merged)

    def _starved(self, present: set[str | None]) -> frozenset[str | None]:
        """Return adapters that reached the limit now, or earlier without being back since."""
        limit, back = 2 * self._patience, self._patience
        return frozenset(
            adapter
            for adapter in present
            if self._credit(adapter) >= limit
            or (adapter in self._starving and self._credit(adapter) > back)
        )

    def _candidate(self, counts: Counter[str], first: int) -> str | None:
        """Return the adapter to run merged; None: run unmerged."""
        if self._merged is not None and counts[self._merged] >= max(1, self.stay * first):
            return self._merged
        hot, count = max(counts.items(), key=lambda each: each[1], default=(None, 0))
        return hot if count and count >= self.enter * first else None

    def _counts(self, able: Sequence[Queued]) -> Counter[str]:
        """Count the requests of each adapter that may be merged (the bare backbone needs none)."""
        return Counter(
            each.adapter for each in able if each.adapter and self._credit(each.adapter) > 0
        )

    def _credit(self, adapter: str | None) -> float:
        return self.credits.setdefault(adapter, self._patience)

    # -- thresholds -------------------------------------------------------------------------

    def _count(
        self,
        merged: str | None,
        hottest: int,
        first: Sequence[Queued],
        run: Sequence[Queued],
    ) -> None:
        if merged != self._merged:
            self._adapt()
            self._merged, self._period = merged, _Period()
        otherwise = len(first) if merged else min(hottest, self._batch)
        self._last = _Counted(len(run), otherwise)
        self.repeated(1)

    def repeated(self, times: int) -> None:
        period, last = self._period, self._last
        period.iterations += times
        period.advanced += times * last.advanced
        period.otherwise += times * last.otherwise

    def _adapt(self) -> None:
        """Adapt a threshold at the end of a period: compare its request rate with the rate that the
        other mode would have had."""
        times, period = self._times, self._period
        if not period.iterations:
            return
        here_s, there_s = times.unmerged_s, times.merged_s
        if self._merged is not None:
            here_s, there_s = there_s, here_s
        paid_off = period.advanced / (
            here_s * period.iterations + times.switch_s
        ) >= period.otherwise / (there_s * period.iterations)
        if self._merged is not None:
            easier = max(self.enter - _EASIER, self.stay)
            self.enter = easier if paid_off else min(1.0, self.enter * _HARDER)
        else:
            easier = min(self.stay + _EASIER, self.enter)
            self.stay = easier if paid_off else self.stay / _HARDER

    # -- credits ----------------------------------------------------------------------------

    def _pay(self, first: Sequence[Queued], run: Sequence[Queued]) -> bool:
        """Transfer credits; return whether there were any to transfer. One credit is a full batch
        of requests passed over."""
        running, due = {each.id for each in run}, {each.id for each in first}
        early = [each for each in run if each.id not in due]
        passed = [each for each in first if each.id not in running]
        payers = early or list(run)
        if not passed:
            return False
        for each in passed:
            self.credits[each.adapter] += 1 / self._batch
        for each in payers:
            self.credits[each.adapter] = self._credit(each.adapter) - len(passed) / (
                self._batch * len(payers)
            )
        return True
