"""The virtual clock, and tasks that share a resource."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from systems.simulation.clock import Clock, Shared


def test_what_is_set_for_one_time_runs_in_the_order_it_was_set() -> None:
    clock, seen = Clock(), []
    for name, at in (("late", 20), ("first", 10), ("second", 10)):
        clock.at(at, lambda name=name: seen.append((clock.now, name)))  # type: ignore[misc]
    clock.run()
    assert seen == [(10, "first"), (10, "second"), (20, "late")]


def test_two_jobs_on_one_slot_take_twice_as_long_and_the_rest_of_one_alone_its_own_time() -> None:
    clock, ends = Clock(), {}
    resource = Shared(clock, 1)
    resource.start(100, lambda: ends.setdefault("long", clock.now))
    resource.start(40, lambda: ends.setdefault("short", clock.now))
    clock.run()
    assert ends == {"short": 80, "long": 140}


def test_below_its_slots_a_resource_slows_nobody_down() -> None:
    clock, ends = Clock(), []
    resource = Shared(clock, 2)
    for _ in range(2):
        resource.start(50, lambda: ends.append(clock.now))
    clock.run()
    assert ends == [50, 50]


def test_a_cancelled_job_says_what_was_left_and_frees_its_share() -> None:
    clock, ends = Clock(), []
    resource = Shared(clock, 1)
    resource.start(100, lambda: ends.append(clock.now))
    other = resource.start(100, lambda: ends.append(-1))
    clock.at(60, lambda: ends.append(round(resource.cancel(other))))
    clock.run()
    assert ends == [70, 130]


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(1, 500)), min_size=1, max_size=30),
    st.integers(1, 4),
)
def test_work_is_neither_lost_nor_done_faster_than_the_slots_can(
    jobs: list[tuple[int, float]], slots: int
) -> None:
    clock = Clock()
    resource = Shared(clock, slots)
    ends: list[tuple[int, int, float]] = []
    for at, work in jobs:
        clock.at(
            at,
            lambda at=at, work=work: resource.start(  # type: ignore[misc]
                work, lambda: ends.append((at, clock.now, work))
            ),
        )
    clock.run()
    assert len(ends) == len(jobs)
    assert all(end - at >= math.floor(work) for at, end, work in ends)
    first, last = min(at for at, _ in jobs), max(end for _, end, _ in ends)
    assert sum(work for _, work in jobs) <= slots * (last - first) + len(jobs)


def test_a_job_is_cancelled_when_it_has_just_ended() -> None:
    """Of two jobs that end at the same time, the callback of one cancels the other. It was counted
    as gone twice, so that no later job of the resource ever ended."""
    clock = Clock()
    shared, told = Shared(clock, 1), []
    shared.start(10, lambda: told.append(("first", shared.cancel(second), clock.now)))
    second = shared.start(10, lambda: told.append(("second", None, clock.now)))
    clock.run()
    shared.start(5, lambda: told.append(("third", None, clock.now)))
    clock.run_until(1000)
    assert told == [("first", 0.0, 20), ("third", None, 25)]
