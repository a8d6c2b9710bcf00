"""Fair shares of tenants: one that stays within its share waits as long as before, however much
another one sends; and where nobody waits, tenants change no decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.serverless.core import actions as act
from systems.serverless.core.fair_shares import Turns, in_turn
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import FillOrExpire, FirstComeFirstServed
from systems.serverless.core.waiting import Request

from .machine import SHARING, Machine, cluster

IN_ORDER = replace(SHARING, batching=FirstComeFirstServed)
ONE_PREFILL = replace(SHARING, batching=partial(FillOrExpire, max_prefills=1))
ONE_IN_ORDER = replace(SHARING, batching=partial(FirstComeFirstServed, max_prefills=1))
few = settings(max_examples=30)


class Watched(Machine):
    """A machine that keeps the batches that were run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.batches: list[act.RunBatch] = []

    def post(self, event: Any) -> list[act.Action]:
        actions = super().post(event)
        self.batches += [each for each in actions if isinstance(each, act.RunBatch)]
        return actions


def sharing(policies: PolicySet, tenants: int) -> Watched:
    """Return a machine whose four functions share an instance, which has all of their adapters."""
    machine = Watched(cluster(shared=True, places=4, tenants=tenants), policies)
    for function in machine.cluster.functions:
        machine.arrive(function)
        machine.settle()
    return machine


def apart(policies: PolicySet, functions: int, tenants: int) -> Watched:
    """Return a machine that has a ready instance of each function."""
    machine = Watched(cluster(functions=functions, tenants=tenants), policies)
    for function in machine.cluster.functions:
        machine.arrive(function)
        machine.settle()
    return machine


def batches_until(machine: Watched, *functions: str) -> int:
    """Send a request to each function and let time pass until all are in a batch; return how many
    batches have begun till then."""
    before = len(machine.batches)
    requests = {machine.arrive(function) for function in functions}
    for _ in range(10_000):
        for number, batch in enumerate(machine.batches[before:]):
            requests -= set(batch.requests)
            if not requests:
                return number + 1
        machine.now += 1
        if not machine.step():
            machine.fires(min(machine.timers, key=machine.timers.__getitem__))
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize("policies", [SHARING, IN_ORDER], ids=["margin", "arrival"])
@few
@given(flood=st.integers(5, 80), steps=st.integers(0, 30))
def test_in_a_shared_instance_the_next_batch_has_the_request_of_who_waits_for_the_first_time(
    policies: PolicySet, flood: int, steps: int
) -> None:
    machine = sharing(policies, tenants=4)
    for _ in range(flood):
        machine.arrive("f0")
    for _ in range(steps):
        machine.now += 1
        machine.step()
    machine.now += 10_000
    assert batches_until(machine, "f1") == 1


def test_with_one_tenant_the_flood_comes_first() -> None:
    machine = sharing(SHARING, tenants=1)
    for _ in range(80):
        machine.arrive("f0")
    machine.now += 10_000
    assert batches_until(machine, "f1") > 10


@pytest.mark.parametrize("policies", [ONE_PREFILL, ONE_IN_ORDER], ids=["margin", "arrival"])
@few
@given(st.integers(5, 80))
def test_where_one_batch_is_prefilled_at_a_time_others_wait_for_one_batch_of_each_tenant(
    policies: PolicySet, flood: int
) -> None:
    machine = apart(policies, functions=4, tenants=4)
    for _ in range(flood):
        machine.arrive("f0")
    machine.now += 10_000
    assert batches_until(machine, "f1", "f2", "f3") <= 4


@pytest.mark.parametrize("policies", [ONE_PREFILL, ONE_IN_ORDER], ids=["margin", "arrival"])
def test_also_for_one_batch_alone_of_a_tenant_of_many_functions(policies: PolicySet) -> None:
    machine = apart(policies, functions=8, tenants=2)
    for function in ("f0", "f2", "f4", "f6") * 10:
        machine.arrive(function)
    machine.now += 10_000
    assert batches_until(machine, "f1") == 1


@few
@given(st.lists(st.tuples(st.sampled_from(range(6)), st.integers(0, 120)), max_size=60))
def test_a_tenant_of_many_functions_puts_no_more_instances_to_work_than_others(
    load: Sequence[tuple[int, int]],
) -> None:
    """f0, f2 and f4 are of one tenant, the others of another."""
    machine = apart(SHARING, functions=6, tenants=2)
    for function, later in load:
        machine.now += later
        for act_ in (partial(machine.arrive, f"f{function}"), machine.step):
            before, begun = at_work(machine), len(machine.batches)
            act_()
            now = at_work(machine)
            for tenant, count in now.items() if len(machine.batches) == begun + 1 else ():
                others = [number for each, number in now.items() if each != tenant]
                assert count <= before[tenant] or not others or count <= max(1, *others)
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def at_work(machine: Machine) -> Counter[str]:
    """Return the number of instances at work by tenant."""
    device = machine.controller.state.devices["cpu:0"]
    busy = (device.instances[each].group.id for each in device.contention.at_work)
    return Counter(machine.cluster.functions[each].tenant for each in busy)


def test_functions_of_one_tenant_take_turns_in_its_share() -> None:
    """While f1 is at work, f0 and f2 of the other tenant have one instance at work together. What
    is called without end does not keep it from the other."""
    machine = apart(SHARING, functions=3, tenants=2)
    instance_of = {process.group.id: id_ for id_, process in machine.processes.items()}
    for function in ("f1", "f0"):
        machine.arrive(function)
        machine.prefills(instance_of[function])
    patient = machine.arrive("f2")
    assert patient in machine.waiting, "its tenant has its part of the device"
    machine.now += 5
    later = machine.arrive("f0")
    assert later in machine.waiting, "the place is for the one that has waited longer"
    machine.finishes(instance_of["f0"])
    assert {patient, later} & set(machine.waiting) == {later}


def test_where_nobody_waits_tenants_change_no_decision() -> None:
    def decided(tenants: int, *, at_once: int) -> list[Any]:
        machine = apart(SHARING, functions=6, tenants=tenants)
        for number in range(120):
            machine.arrive(f"f{number * number % 6}")
            machine.now += 7
            if number % at_once == 0:
                machine.settle()
        return machine.batches

    assert decided(2, at_once=1) == decided(6, at_once=1) == decided(1, at_once=1)
    assert decided(2, at_once=30) != decided(1, at_once=30), "where they wait, it does"


def test_tenants_that_wait_are_served_in_turn_and_a_pause_saves_nothing() -> None:
    def waiting(tenant: str, *deadlines: int) -> list[Request]:
        return [Request(each, tenant, "g", 1, each, 0) for each in deadlines]

    turns = Turns()
    for _ in range(20):
        turns.begin("busy")
    both = {"busy": waiting("busy", 1, 2, 3), "late": waiting("late", 101, 102, 103)}
    order = [each.id for each in in_turn(both, turns, lambda request: request.deadline_ns)]
    assert order == [101, 1, 102, 2, 103, 3]
