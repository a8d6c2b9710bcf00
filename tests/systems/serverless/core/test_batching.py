"""Which batch runs first, and how long batches are held."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from systems.serverless.core.instance import Instance
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import Batch, FillOrExpire, able

from .machine import SHARING, Machine, cluster

FUNCTIONS = ("f0", "f1", "f2", "f3")
arrivals = st.lists(st.tuples(st.sampled_from(FUNCTIONS), st.integers(0, 900)), max_size=25)
ONE_AT_A_TIME = replace(SHARING, batching=partial(FillOrExpire, max_prefills=1, hold="always"))


def ready(policies: PolicySet = SHARING) -> Machine:
    """Return a machine with four functions, each with a ready instance."""
    machine = Machine(cluster(), policies)
    for function in FUNCTIONS:
        machine.arrive(function)
        machine.settle()
    return machine


def instance_of(machine: Machine, function: str) -> Instance:
    (instance,) = machine.controller.state.members(function).all.values()
    return instance


def slack_ends_ns(machine: Machine, function: str) -> float:
    """Return the latest time at which the oldest waiting request of ``function`` can start and meet
    its SLO, beside the instances at work."""
    state, instance = machine.controller.state, instance_of(machine, function)
    queue = state.queue(function)
    slowdown = state.devices["cpu:0"].contention.with_work_of(instance.id)
    took_ns = state.estimates(function).prefills.expected_ns(
        min(len(queue), instance.room), slowdown, joins=bool(instance.running)
    )
    return queue.oldest.deadline_ns - took_ns


@given(arrivals)
def test_nobody_is_held_past_the_moment_at_which_it_could_still_be_in_time(
    load: list[tuple[str, int]],
) -> None:
    machine = ready()
    for function, later in load:
        machine.now += later
        machine.arrive(function)
        state = machine.controller.state
        device = state.devices["cpu:0"]
        ends = {i: slack_ends_ns(machine, i.group.id) for i in able(device, state)}
        held = [
            end
            for i, end in ends.items()
            if end >= max(i.prefilled_ns, state.queue(i.group.id).oldest.arrived_ns)
        ]
        if not held:
            continue
        assert device.hold_until_ns is not None, "a timer is set for a held batch"
        assert device.hold_until_ns <= max(min(held), machine.now) + 1


def test_of_two_alike_the_one_whose_oldest_request_waited_longer_runs_first() -> None:
    """The margin is the remaining time to the deadline. Without the time already waited, later
    requests could run first again and again, until the earlier one is late."""
    machine = ready(ONE_AT_A_TIME)
    machine.arrive("f1")
    machine.now += 100
    younger = machine.arrive("f0")
    machine.fires("cpu:0")
    assert set(machine.waiting) == {younger}


@given(arrivals)
def test_of_what_is_due_the_smallest_margin_runs_first(load: list[tuple[str, int]]) -> None:
    machine = ready()
    state = machine.controller.state
    device = state.devices["cpu:0"]
    choose = SHARING.batching().choose

    def margin(function: str) -> float:
        return slack_ends_ns(machine, function) - machine.now

    for function, later in load:
        machine.now += later
        machine.arrive(function)
        choice = choose(device, state, machine.now)
        if isinstance(choice, Batch):
            rivals = [i.group.id for i in able(device, state)]
            due = [name for name in rivals if margin(name) <= 0]
            if due:
                assert margin(choice.instance.group.id) <= min(map(margin, due)) + 1e-6
        if device.prefilling:
            running = next(i for i, p in machine.processes.items() if p.batch is not None)
            machine.prefills(running)
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}
