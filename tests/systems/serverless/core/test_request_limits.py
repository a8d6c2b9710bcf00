"""A function that is called beyond its limits is rejected; others are served as without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systems.request_limits import RequestLimits
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev

from .machine import SHARING, Machine, cluster

FLOOD = 100
"""Requests that come at once."""


def flooded(limits: RequestLimits, *, shared: bool = False) -> Machine:
    """Return a machine of which f0 was called very often and f1 once, before anything was done."""
    machine = Machine(cluster(limits=limits, shared=shared, places=4), SHARING)
    for _ in range(FLOOD):
        machine.arrive("f0")
    machine.arrive("f1")
    return machine


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "limits",
    [RequestLimits(in_flight=7), RequestLimits(waiting=7), RequestLimits(None, None, 1, 7)],
)
def test_what_exceeds_a_limit_of_a_function_is_rejected_at_once(
    limits: RequestLimits, shared: bool
) -> None:
    machine = flooded(limits, shared=shared)
    assert list(machine.answers.values()) == ["shed"] * (FLOOD - 7)
    machine.settle()
    assert [machine.answers[request] for request in (*range(1, 8), FLOOD + 1)] == ["ok"] * 8


def test_a_rejection_tells_when_to_come_back_and_changes_nothing_else() -> None:
    machine = flooded(RequestLimits(rate_per_s=1, burst=7))
    before = machine.controller.state.estimates("f0").rate.per_second(machine.now)
    (rejection,) = machine.controller.handle(ev.RequestArrived(999, "f0", 5, 5), machine.now)
    assert rejection == act.FailRequest(
        999, 429, "this function has reached its limit of 1 requests a second", 1_000_000_000
    )
    assert machine.controller.state.estimates("f0").rate.per_second(machine.now) == before


def test_requests_that_failed_or_were_cancelled_are_in_flight_no_longer() -> None:
    machine = Machine(cluster(limits=RequestLimits(in_flight=2)), SHARING)
    first, second = machine.arrive("f0"), machine.arrive("f0")
    assert machine.answers[machine.arrive("f0")] == "shed"
    machine.cancel(first)
    machine.arrive("f0")
    while not any(process.fresh for process in machine.processes.values()):
        machine.step()
    (instance,) = machine.processes
    machine.dies(instance)
    assert machine.answers[second] == "failed"
    for _ in range(2):
        assert machine.arrive("f0") not in machine.answers


def test_a_flood_of_one_function_takes_no_decision_from_another() -> None:
    """With memory for one instance of each, what is decided about f1 is the same with and without
    the flood that is rejected."""
    flood = flooded(RequestLimits(in_flight=1))
    alone = Machine(flood.cluster, SHARING)
    alone.arrive("f0")
    alone.arrive("f1")
    assert _view(flood) == _view(alone)


def _view(machine: Machine) -> list[object]:
    return [replace(process, fresh=set()) for process in machine.processes.values()]
