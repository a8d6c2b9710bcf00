"""Rules that compare our result with the published one, by kind of claim, for any system."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from .claim import Ours, Published, Verdict

WITHIN = 0.10
"""Tolerance of a level: published values are rounded, and the paper's load is not available."""


def judge(published: Published, ours: Ours) -> Verdict:
    return _RULES[published.rule](published.values, ours)


def _above(neutral: float) -> Callable[[tuple[float, ...], Ours], Verdict]:
    """Rule for values that are better the further above ``neutral``. "Holds": each value reaches
    the published one, or at least 90 % of its distance from neutral (independent of the interval:
    imprecision must not make a claim hold). "Direction holds": each value, with its interval, is
    above neutral."""

    def rule(theirs: tuple[float, ...], ours: Ours) -> Verdict:
        lowest = (ours.ci95[0] if ours.ci95 else ours.values[0], *ours.values[1:])
        wanted = [neutral + (his - neutral) * (1 - WITHIN) for his in theirs]
        reached = all(mine >= his for mine, his in zip(ours.values, wanted, strict=True))
        if reached and min(lowest) > neutral:
            return "holds"
        return "direction-holds" if min(lowest) > neutral else "does-not-hold"

    return rule


def _penalty(theirs: tuple[float, ...], ours: Ours) -> Verdict:
    """A cost that the paper reports: holds if ours is at most 10 % higher."""
    if ours.values[0] <= theirs[0] * (1 + WITHIN):
        return "holds"
    return "direction-holds" if ours.values[0] > 0 else "does-not-hold"


def _level(theirs: tuple[float, ...], ours: Ours) -> Verdict:
    near = [abs(m / h - 1) <= WITHIN for m, h in zip(ours.values, theirs, strict=True)]
    return "holds" if all(near) else "does-not-hold"


def _order(theirs: tuple[float, ...], ours: Ours) -> Verdict:
    if _level(theirs, ours) == "holds":
        return "holds"

    in_their_order = [ours.values[n] for n in sorted(range(len(theirs)), key=theirs.__getitem__)]
    rises = all(low < high for low, high in pairwise(in_their_order))
    return "direction-holds" if rises else "does-not-hold"


def _limit(theirs: tuple[float, ...], ours: Ours) -> Verdict:
    return "holds" if ours.values[0] < theirs[0] else "does-not-hold"


def _share(theirs: tuple[float, ...], ours: Ours) -> Verdict:
    if ours.values[0] >= theirs[0]:
        return "holds"
    return "direction-holds" if ours.values[0] > theirs[0] / 2 else "does-not-hold"


_RULES: dict[str, Callable[[tuple[float, ...], Ours], Verdict]] = {
    "gain": _above(0.0),
    "speed-up": _above(1.0),
    "penalty": _penalty,
    "level": _level,
    "order": _order,
    "limit": _limit,
    "share": _share,
}
