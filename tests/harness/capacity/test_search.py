"""The search for a capacity on predicates whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.capacity.limits import Limits
from harness.capacity.search import Outcome, bracket, failing_below, next_load

Predicate = Callable[[float], Outcome]
LOADS = st.floats(min_value=1e-3, max_value=1e3)
MOST = Limits().points


def searched(predicate: Predicate, limits: Limits) -> dict[float, Outcome]:
    observed: dict[float, Outcome] = {}
    while (load := next_load(observed, limits)) is not None:
        assert load not in observed, "no load is tested twice"
        assert limits.lowest <= load <= limits.highest
        observed[load] = predicate(load)
        assert len(observed) <= MOST
    return observed


def passed(observed: dict[float, Outcome]) -> dict[float, bool]:
    return {load: outcome.feasible for load, outcome in observed.items()}


@st.composite
def limited(draw: st.DrawFn) -> Limits:
    lowest, start, highest = sorted(draw(st.tuples(LOADS, LOADS, LOADS)))
    tolerance = draw(st.floats(min_value=0.005, max_value=1))
    return Limits(
        lowest=lowest, start=start, highest=highest, tolerance=tolerance, checks=draw(st.booleans())
    )


@given(capacity=st.floats(min_value=1e-4, max_value=1e4), limits=limited())
@example(capacity=3.0, limits=Limits())
@example(capacity=0.3, limits=Limits(checks=False))
def test_the_bracket_of_a_monotone_system_holds_its_capacity(
    capacity: float, limits: Limits
) -> None:
    observed = searched(lambda load: Outcome(load <= capacity), limits)
    found = bracket(passed(observed))
    assert failing_below(passed(observed)) == []
    if found.feasible_max is not None and found.infeasible_min is not None:
        assert found.feasible_max <= capacity < found.infeasible_min
        assert found.infeasible_min / found.feasible_max <= 1 + limits.tolerance
    elif found.feasible_max is not None:
        assert found.feasible_max == limits.highest <= capacity
    else:
        assert min(observed) == limits.lowest > capacity


@given(st.integers(min_value=0, max_value=2**MOST - 1), limited())
def test_it_ends_whatever_the_system_does(answers: int, limits: Limits) -> None:
    left = iter(f"{answers:0{MOST}b}")
    observed = searched(lambda _: Outcome(next(left) == "1"), limits)
    found = bracket(passed(observed))
    if found.feasible_max is not None and found.infeasible_min is not None:
        ratio = found.infeasible_min / found.feasible_max
        assert ratio > 1
        assert ratio <= 1 + limits.tolerance or len(observed) == MOST


@given(limited(), st.floats(min_value=1e-3, max_value=1e3))
def test_a_search_that_is_resumed_goes_on_as_if_it_had_not_stopped(
    limits: Limits, capacity: float
) -> None:
    observed = searched(lambda load: Outcome(load <= capacity), limits)
    order = list(observed)
    for count, load in enumerate(order):
        before = {each: observed[each] for each in sorted(order[:count])}
        assert next_load(before, limits) == load


def test_a_system_that_only_low_loads_fail_has_the_capacity_above_them() -> None:
    """Cold starts miss the goal at low loads."""
    observed = searched(lambda load: Outcome(3 <= load <= 11), Limits())
    found = passed(observed)
    low, high = bracket(found).feasible_max, bracket(found).infeasible_min
    assert low is not None
    assert high is not None
    assert low <= 11 < high <= low * 1.05
    assert failing_below(found)[0] == Limits().lowest


def test_above_a_saturated_load_nothing_is_tested() -> None:
    observed = searched(lambda load: Outcome(False, saturated=load >= 1), Limits())
    assert max(observed) == 1
    assert min(observed) == Limits().lowest


def test_a_second_failure_below_the_bracket_is_found_by_the_check() -> None:
    """3.2 fails and 4 passes: the bracket stays at the highest load, and the failure is told."""
    observed = searched(lambda load: Outcome(load < 2.5 or 3.5 < load <= 5), Limits())
    found = passed(observed)
    assert math.isclose(bracket(found).feasible_max or 0, 5, rel_tol=0.05)
    assert failing_below(found)
    unchecked = searched(lambda load: Outcome(load < 2.5 or 3.5 < load <= 5), Limits(checks=False))
    assert failing_below(passed(unchecked)) == []


def test_no_more_loads_are_tested_than_asked_for() -> None:
    limits = Limits(points=5)
    assert list(searched(lambda load: Outcome(load < 3), limits)) == [1, 2, 4, 2.828, 3.363]


@pytest.mark.parametrize("wrong", [{"start": 100}, {"lowest": 2}, {"tolerance": 0.001}])
def test_limits_that_leave_nothing_to_search_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)
