"""What happens to idle instances of a group when no request of it waits any more."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from systems.serverless.core.artifacts import Artifact
from systems.serverless.core.instance import Instance
from systems.serverless.core.policies.batching import FillOrExpire
from systems.serverless.core.policies.offloading import NoOffloading, ValueDensity
from systems.serverless.core.policies.offloading.eviction_queue import AHEAD, Weights
from systems.serverless.core.state import State

from .machine import SHARING, Machine, cluster


def test_idle_instances_are_weighed_again_with_their_group() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    state, offloading = machine.controller.state, machine.controller.policies.offloading
    assert isinstance(offloading, ValueDensity)
    (instance,) = state.instances.values()

    def density() -> float:
        return max(block.density for block in offloading._queues["cpu:0"].order(state))

    before = density()
    for _ in range(3):
        state.estimates("f0").rate.observe(machine.now)
    assert density() == before, "its value is that of the moment when it was weighed"
    state.group_rested("f0", machine.now)
    assert density() == 4 * before, "called four times as often"
    state.estimates("f0").rate.observe(machine.now)
    state.group_rested("f0", machine.now)
    state.estimates("f0").rate.observe(machine.now)
    state.group_rested("f0", machine.now)
    assert density() == 6 * before, "weighed with its group more than once since"
    state.group_rested("f0", machine.now)
    state.estimates("f0").rate.observe(machine.now)
    state.rest(instance, machine.now)
    assert density() == 7 * before, "weighed on its own after its group"


def test_the_eviction_queue_has_the_last_blocks_of_an_instance_until_it_leaves() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    state, offloading = machine.controller.state, machine.controller.policies.offloading
    assert isinstance(offloading, ValueDensity)
    (instance,) = state.instances.values()
    queue, delays_ns = offloading._queues[instance.device], state.estimates("f0").delay_ns
    last = 0
    for times in (1, 2, AHEAD + 1):  # computed when asked for, at once, and both
        for turn in range(last, last + times):
            queue.put(instance, Weights(turn, 100 / (turn + 1), delays_ns), state)
        last = turn = last + times - 1
        order = list(queue.order(state))
        assert order == sorted(order)
        assert {block.turn for block in order} == {turn}
        found = [artifact for block in order for artifact in block.artifacts]
        assert found == [Artifact.KERNELS, Artifact.ADAPTER]
    for turn in range(last, last + AHEAD + 1):
        queue.put(instance, Weights(turn, 1.0, delays_ns), state)
    queue.remove(instance)
    assert not list(queue.order(state))


class Told(NoOffloading):
    """Overrides one notice only."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:
        self.told.append(instance.id)


def test_a_policy_without_a_notice_for_groups_is_told_of_each_instance() -> None:
    machine = Machine(cluster(), replace(SHARING, offloading=Told))
    machine.arrive("f0")
    machine.settle()
    offloading = machine.controller.policies.offloading
    assert isinstance(offloading, Told)
    offloading.told.clear()
    machine.controller.state.group_rested("f0", machine.now)
    assert offloading.told == list(machine.processes)


def test_an_instance_gets_its_keep_alive_back_when_the_request_it_waited_for_is_cancelled() -> None:
    """Its timer fired while a request waited, for which it must not end."""
    holding = replace(SHARING, batching=partial(FillOrExpire, hold="always"))
    machine = Machine(cluster(), holding)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    machine.now += 1
    held = machine.arrive("f0")
    assert held in machine.waiting, "it is held for the slack of its batch"
    machine.fires(instance)
    assert instance not in machine.timers
    machine.cancel(held)
    assert instance in machine.timers
