"""Durations drawn from the distributions of a profile."""

from __future__ import annotations

from statistics import fmean

import pytest

from systems.simulation.draws import Draws
from systems.simulation.number import Curve, Number

SPREAD = (0.5, 0.9, 1.0, 1.1, 2.0)
DRAWN = Number(value=0.1, kind="measured", source="chosen for a test", spread=SPREAD)
FIXED = Number(value=0.1, kind="measured", source="chosen for a test")


def durations(draws: Draws, what: str, whose: str, count: int) -> list[float]:
    return [draws.ns(DRAWN, what, whose) / 1e9 for _ in range(count)]


def test_quantiles_lie_on_straight_lines_between_those_that_are_known() -> None:
    shown = [DRAWN.quantile(p) for p in (0, 0.125, 0.25, 0.5, 0.875)]
    assert shown == pytest.approx([0.05, 0.07, 0.09, 0.1, 0.155])
    assert FIXED.quantile(0.9) == 0.1


def test_draws_are_distributed_as_the_number_says() -> None:
    found = sorted(durations(Draws("1"), "fork", "f0", 4000))
    assert found[0] >= 0.05
    assert found[-1] < 0.2
    for p in (0.25, 0.5, 0.75):
        assert found[int(p * 4000)] == pytest.approx(DRAWN.quantile(p), abs=0.002)
    assert fmean(found) == pytest.approx(0.10625, abs=0.002)


def test_a_stream_is_moved_by_no_other() -> None:
    """One system forks more often than another, and for other functions; f1's third fork takes
    as long in both."""
    one, other = Draws("7"), Draws("7")
    durations(one, "fork", "f0", 10)
    durations(one, "map", "f1", 3)
    assert durations(one, "fork", "f1", 3) == durations(other, "fork", "f1", 3)
    assert durations(Draws("8"), "fork", "f1", 3) != durations(Draws("7"), "fork", "f1", 3)


def test_without_a_key_or_a_distribution_every_duration_is_the_value() -> None:
    assert durations(Draws(), "fork", "f0", 3) == [0.1] * 3
    assert {Draws("1").ns(FIXED, "fork", "f0") for _ in range(3)} == {0.1e9}


def test_a_curve_is_straight_between_its_points_and_beyond_them() -> None:
    curve = Curve(points=((1, 0.07), (2, 0.05), (4, 0.06)), kind="measured", source="for a test")
    shown = [curve.at(x) for x in (1, 1.5, 2, 3, 4, 6)]
    assert shown == pytest.approx([0.07, 0.06, 0.05, 0.055, 0.06, 0.07])
    with pytest.raises(ValueError, match="ascending"):
        Curve(points=((2, 0.05), (1, 0.07)), kind="measured", source="for a test")
