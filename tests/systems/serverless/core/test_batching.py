"""Which batch runs first, and how long batches are held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systems.serverless.core.policies.batching import Batch, able

from .machine import SHARING, Machine, cluster

arrivals = st.lists(
    st.tuples(st.sampled_from(["f0", "f1", "f2", "f3"]), st.integers(0, 900)), max_size=25
)


def ready() -> Machine:
    """Return a machine with four functions, each with a ready instance."""
    machine = Machine(cluster(), SHARING)
    for function in ("f0", "f1", "f2", "f3"):
        machine.arrive(function)
        machine.settle()
    return machine


def slack_ends_ns(machine: Machine, function: str) -> float:
    """Return the latest time at which the oldest waiting request of ``function`` can start and meet
    its SLO, beside the batches in their prefill."""
    state = machine.controller.state
    device = state.devices["cpu:0"]
    queue = state.queue(function)
    size = min(len(queue), state.cluster.groups[function].batch_limit)
    oldest = queue.oldest
    slowdown = device.slowdown(device.prefilling + 1)
    took = slowdown * state.estimates(function).law.ttft_ns(size)
    return oldest.arrived_ns + state.cluster.functions[function].slo_ttft_ns - took


@given(arrivals)
def test_nobody_is_held_past_the_moment_at_which_it_could_still_be_in_time(
    load: list[tuple[str, int]],
) -> None:
    machine = ready()
    for function, later in load:
        machine.now += later
        machine.arrive(function)
        device = machine.controller.state.devices["cpu:0"]
        held = [i.group.id for i in able(device, machine.controller.state)]
        if not held:
            continue
        assert device.hold_until_ns is not None, "a timer is set for a held batch"
        first = min(slack_ends_ns(machine, name) for name in held)
        assert device.hold_until_ns <= max(first, machine.now) + 1


def test_of_two_alike_the_one_whose_oldest_request_waited_longer_runs_first() -> None:
    """The margin is the remaining time to the deadline. Without the time already waited, later
    requests could run first again and again, until the earlier one is late."""
    machine = ready()
    machine.arrive("f2")
    older = machine.arrive("f1")
    machine.now += 100
    younger = machine.arrive("f0")
    assert set(machine.waiting) == {older, younger}, "both are held back beside f2's prefill"
    machine.prefills(next(i for i, p in machine.processes.items() if p.batch is not None))
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
