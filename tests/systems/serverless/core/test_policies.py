"""Policies own their state: two controllers of one policy set share none, and a policy receives the
notices that its state depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from systems.serverless.core.instance import Instance
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.offloading import LeastRecentlyUsed, ValueDensity
from systems.serverless.core.policies.placement import EarliestCompletion
from systems.serverless.core.policies.preloading import ByDensity
from systems.serverless.core.state import State

from .liveness import ALL, Script, pass_time, random_script, take
from .machine import SHARING, Machine, cluster

SCRIPTS = 40
Decisions = list[Any]


def machine(policies: PolicySet, script: Script, decided: Decisions) -> Machine:
    """Create a machine for ``script`` that records its controller's decisions in ``decided``."""
    found = Machine(
        cluster(backbones=2, devices=script.devices, memory=script.memory, card=script.card),
        policies,
    )
    handle = found.controller.handle

    def recorded(event: Any, now_ns: int) -> Any:
        actions = handle(event, now_ns)
        decided.append((event, now_ns, actions[:]))
        return actions

    found.controller.handle = recorded  # type: ignore[method-assign]
    return found


def alone(policies: PolicySet, script: Script) -> Decisions:
    decided: Decisions = []
    playing = machine(policies, script, decided)
    for step in script.steps:
        take(playing, step)
    return decided


def side_by_side(policies: PolicySet, first: Script, second: Script) -> tuple[Decisions, Decisions]:
    """Return the decisions of two controllers of ``policies`` whose events alternate."""
    decided: tuple[Decisions, Decisions] = ([], [])
    playing = [
        machine(policies, script, told)
        for script, told in zip((first, second), decided, strict=True)
    ]
    for number in range(max(len(first.steps), len(second.steps))):
        for script, each in zip((first, second), playing, strict=True):
            for step in script.steps[number : number + 1]:
                take(each, step)
    return decided


def leaks(policies: PolicySet) -> bool:
    """Return whether controllers of ``policies`` ever decide differently beside one another."""
    scripts = [replace(random_script(seed), devices=1) for seed in range(SCRIPTS)]
    return any(
        side_by_side(policies, one, two) != (alone(policies, one), alone(policies, two))
        for one, two in pairwise(scripts)
    )


@pytest.mark.parametrize("bundle", sorted(ALL))
def test_controllers_of_one_set_decide_as_each_does_alone(bundle: str) -> None:
    assert not leaks(ALL[bundle])


def one_for_all(policy: Any) -> Callable[[], Any]:
    return lambda: policy


@pytest.mark.parametrize(
    "planted",
    [
        lambda: replace(SHARING, preloading=one_for_all(ByDensity())),
        lambda: replace(SHARING, offloading=one_for_all(ValueDensity())),
        lambda: replace(ALL["private"], offloading=one_for_all(LeastRecentlyUsed())),
    ],
    ids=["plan", "density order", "idle order"],
)
def test_a_policy_that_controllers_share_is_noticed(planted: Callable[[], PolicySet]) -> None:
    """A planted defect: a set that creates the same policy every time. The state about one
    controller's instances reaches another."""
    try:
        found = leaks(planted())
    except KeyError:
        found = True  # it knows an instance of the other controller
    assert found


def test_the_cursor_of_placement_is_its_own() -> None:
    policies = replace(SHARING, placement=partial(EarliestCompletion, candidates=2))
    first, second = (Machine(cluster(devices=6), policies) for _ in range(2))
    chosen = [(_placed(first), _placed(second)) for _ in range(3)]
    assert chosen == [("cpu:0", "cpu:0"), ("cpu:2", "cpu:2"), ("cpu:4", "cpu:4")]


def _placed(machine: Machine) -> str:
    state = machine.controller.state
    function = state.cluster.groups["f0"]
    return machine.controller.policies.placement.choose(function, state, 0).spec.id


class Listening(ValueDensity):
    """Stores by device the instances that it was notified of as idle or asleep."""

    def __init__(self) -> None:
        super().__init__()
        self.resting: dict[str, set[int]] = {}
        self.left: list[str] = []

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:
        super().rested(instance, state, now_ns)
        self.resting.setdefault(instance.device, set()).add(instance.id)

    def left_rest(self, instance: Instance) -> None:
        super().left_rest(instance)
        self.resting[instance.device].remove(instance.id)

    def device_left(self, device: str) -> None:
        super().device_left(device)
        assert not self.resting.pop(device, None), "its instances left before"
        self.left.append(device)


def test_a_policy_is_told_of_all_that_rests_and_of_nothing_else() -> None:
    parted = 0
    for seed in range(SCRIPTS):
        script = replace(random_script(seed), apart=True)
        deployed = cluster(backbones=2, devices=script.devices, memory=script.memory, apart=True)
        playing = Machine(deployed, replace(SHARING, offloading=Listening))
        listening = playing.controller.policies.offloading
        assert isinstance(listening, Listening)
        for step in script.steps:
            take(playing, step)
            state = playing.controller.state
            for device in state.devices.values():
                told = listening.resting.get(device.spec.id, set())
                rests = {
                    i.id for i in device.instances.values() if i.idle or i.phase.name == "ASLEEP"
                }
                assert told == rests == device.resting
                assert device.at_work == len(device.instances) - len(rests)
        parted += len(listening.left)
    assert parted, "no device left in any script"


@pytest.mark.parametrize("bundle", sorted(ALL))
def test_a_policy_keeps_nothing_of_a_device_that_left(bundle: str) -> None:
    playing = Machine(cluster(devices=2, apart=True), ALL[bundle])
    for _ in range(2):
        for function in ("f0", "f1"):
            playing.arrive(function)
            playing.settle()
        pass_time(playing, 1500)
    kept = [each for policy in playing.controller.policies for each in vars(policy).items()]
    by_device = [each for name, each in kept if isinstance(each, dict) and name != "_of_groups"]
    if bundle == "sharing":
        expected = [True, True, False]
        assert [bool(each) for each in by_device] == expected, "a plan, an order, and no turns"
    for host in ("h0", "h1"):
        playing.host_leaves(host)
    assert not any(by_device)
    of_groups = getattr(playing.controller.policies.offloading, "_of_groups", {})
    assert not any(group.queues for group in of_groups.values())
