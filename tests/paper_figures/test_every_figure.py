"""Every figure of every kind of run is drawn completely, or skipped with a one-line reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.records import Run, new_run
from paper_figures import NothingToDrawError, figure_names, sweep_names
from paper_figures.registry import drawings
from tests.harness.made import made_run

from .kinds import (
    ReadOnce,
    beside,
    endpoint,
    levels,
    one,
    simulated,
    swept,
    swept_endpoint,
    unanswered,
)
from .seen import alike, cut_marks, cut_off, empty, illegible, words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
PLAIN = {"ablation", "price-of-isolation"}
"""Figures that cannot be drawn from a run without ablations or isolation levels."""
LONE = PLAIN | {"crossing"}
"""The same, of a run without a sweep."""
INSIDE = {"time-breakdown", "memory-over-time"}
BILLED = {"cost-by-pattern", "cost-of-serving", "cost-against-ttft"}
TIMED = {"ttft-by-pattern", "ttft-distribution", "tpot-and-e2e"}


def _nothing(root: Path) -> Run:
    return new_run({"name": "nothing"}, root)


MADE: dict[str, tuple[Callable[[Path], Run], set[str]]] = {
    "one system": (one, LONE),
    "two systems": (made_run, LONE),
    "an endpoint": (endpoint, LONE | INSIDE | BILLED),
    "an endpoint beside others": (beside, LONE),
    "an endpoint that never answers": (unanswered, LONE | INSIDE | BILLED | TIMED),
    "main, simulated": (simulated, LONE | {"time-breakdown"}),
    "isolation levels": (levels, {"ablation", "crossing"}),
    "no cell": (_nothing, set(figure_names())),
    "a sweep": (swept, PLAIN | {"time-breakdown", "regimes"}),
    "a sweep of an endpoint": (
        swept_endpoint,
        LONE | INSIDE | BILLED | {"scheduler-overhead", "regimes"},
    ),
}
"""Kinds of run, and the figures that cannot be drawn from each."""
SWEPT = {"a sweep", "a sweep of an endpoint"}
LAID_OUT = {"an endpoint beside others"}
"""Kinds of run whose figures are laid out too, as wide as a page."""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    return cache(lambda kind: ReadOnce.of(MADE[kind][0](tmp_path_factory.mktemp("runs"))))


def _check(figure: Any, run: str = "") -> None:
    said = words(figure)
    assert not [text for text in said if re.search(r"\b(nan|None|inf)\b", text, re.I)]
    assert any(f"; run {run}" in text for text in said), "the caption names its records"
    for axis in figure.axes:
        assert not empty(axis)
        assert cut_off(axis) == []


@pytest.mark.parametrize("name", [*figure_names(), *sweep_names()])
@pytest.mark.parametrize("kind", MADE)
def test_a_figure_of_a_run_is_whole_or_says_why_it_is_not(
    name: str, kind: str, record: Callable[[str], Run]
) -> None:
    curves: set[str] = set() if kind in SWEPT else set(sweep_names())
    run, unfed = record(kind), MADE[kind][1] | curves
    if name in unfed:
        with pytest.raises(NothingToDrawError, match=re.escape(run.id)) as reason:
            list(drawings(name, run))
        assert "\n" not in str(reason.value)
        return
    found = list(drawings(name, run))
    assert found
    for drawing in found:
        _check(drawing.figure, run.id)
        assert len(drawing.data)
        if kind in LAID_OUT:
            assert illegible(drawing.figure) == []
            assert cut_marks(drawing.figure) == []
            assert alike(drawing.figure) == []
