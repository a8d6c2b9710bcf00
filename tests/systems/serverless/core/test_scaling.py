"""When a group gets another instance, and where not."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from systems.serverless.core.artifacts import AWAKE, DORMANT, PARKED, CopyKey
from systems.serverless.core.cluster_spec import GroupSpec
from systems.serverless.core.devices import Device
from systems.serverless.core.instance import Instance, Phase
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.placement import EarliestCompletion, least_start_ns
from systems.serverless.core.policies.scaling import DelayedAsLong, WaitedAsLong
from systems.serverless.core.start_time import start_ns
from systems.serverless.core.state import State

from .machine import PRIVATE, SHARING, Machine, cluster
from .recording import Recorder, move

DELAYED = replace(SHARING, scaling=DelayedAsLong)
FORK_NS = 60 + 90
"""Of a fork beside a resident copy: its adapter and its kernels."""


def two_homes(policies: PolicySet = SHARING) -> Machine:
    """Return a machine with f0 on the first of two devices and f1 on the second, both ready; no
    loading has changed what is known of their durations."""
    machine = Machine(cluster(functions=2, devices=2), policies)
    machine.arrive("f0")
    machine.arrive("f1")
    machine.settle()
    state = machine.controller.state
    for function in ("f0", "f1"):
        state.estimates(function).delay_ns.update(state.cluster.groups[function].delay_ns)
    assert [p.device for p in machine.processes.values()] == ["cpu:0", "cpu:1"]
    return machine


def waits(machine: Machine, function: str = "f0") -> None:
    """Let a request of ``function`` wait behind a prefill."""
    machine.arrive(function)
    machine.arrive(function)


def waits_for_long(machine: Machine) -> None:
    """The same of f0, whose next request comes after longer than a new instance takes."""
    waits(machine)
    machine.now += 10_000
    machine.arrive("f0")


def devices_of(machine: Machine, group: str) -> list[str]:
    return [p.device for p in machine.processes.values() if p.group.id == group]


def test_another_waits_as_long_as_a_fork_beside_a_resident_copy_takes() -> None:
    machine = two_homes()
    waits(machine)
    machine.now += FORK_NS
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0"]
    machine.now += 1
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1"], "neither libraries nor a backbone"


@pytest.mark.parametrize("requests", [1, 9], ids=["one waits", "more than a batch waits"])
def test_none_is_added_where_as_many_are_at_work(requests: int) -> None:
    machine = two_homes()
    machine.arrive("f1")  # at work on the other device
    waits(machine)
    machine.now += 100 * FORK_NS
    for _ in range(requests):
        machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0"]
    other = next(i for i, p in machine.processes.items() if p.group.id == "f1")
    machine.prefills(other)
    machine.finishes(other)
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1"], "it is idle now"


def test_a_start_takes_what_is_lacking_there() -> None:
    machine = Machine(cluster(), SHARING)
    state = machine.controller.state
    group, copy = state.cluster.groups["f0"], CopyKey("b0", "cpu:0")
    fork = Instance(7, group, "cpu:0", copy, forked=True, inherited=DORMANT)
    process = Instance(8, group, "cpu:0", copy, forked=False)
    assert start_ns(process, state, 0) == 300 + 400 + FORK_NS
    assert start_ns(fork, state, 0) == 300 + 400 + FORK_NS, "there is no template yet"
    machine.arrive("f1")
    machine.template_ready()
    machine.now = 150
    assert start_ns(fork, state, machine.now) == 250 + FORK_NS, "the copy is being loaded"
    machine.settle()
    assert start_ns(fork, state, machine.now) == 60 + 150, "as long as the fork of f1"
    fork.asked, fork.in_place = True, {*PARKED}
    assert start_ns(fork, state, machine.now) == 90
    fork.in_place |= AWAKE
    assert start_ns(fork, state, machine.now) == 0


def test_a_process_with_a_copy_of_its_own_takes_a_whole_start() -> None:
    machine = Machine(cluster(functions=1, devices=2), PRIVATE)
    machine.arrive("f0")
    machine.settle()
    delay_ns = machine.controller.state.estimates("f0").delay_ns
    waits(machine)
    machine.now += round(sum(delay_ns.values())) - 1
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0"]
    machine.now += 2
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1"]


def test_a_new_one_is_added_elsewhere_if_the_sleeping_one_is_contended() -> None:
    machine = Machine(cluster(functions=2, devices=3), SHARING)
    for _ in range(2):
        machine.arrive("f0")
        machine.settle()
    waits_for_long(machine)
    machine.settle()
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1"]
    second = max(machine.processes)
    machine.fires(second)
    machine.settle()
    machine.arrive("f0")
    machine.arrive("f1")
    assert devices_of(machine, "f1") == ["cpu:1"], "beside the sleeping one"
    waits_for_long(machine)
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1", "cpu:2"]


class Checked(EarliestCompletion):
    """Compares the least time of a start with a start on each device, at each choice."""

    def __init__(self) -> None:
        super().__init__()
        self.absent = 0
        """How often none of the devices held the backbone."""

    def choose(self, group: GroupSpec, state: State, now_ns: int) -> Device:
        devices = self._looked_at(group, state)
        least_ns = least_start_ns(group, devices, state)
        copies = [CopyKey(group.backbone, device.spec.id) for device in devices]
        for copy in copies:
            new = Instance(-1, group, copy.device, copy, forked=True, inherited=DORMANT)
            assert start_ns(new, state, now_ns) >= least_ns
        self.absent += not any(copy in state.copies for copy in copies)
        return super().choose(group, state, now_ns)


@pytest.mark.parametrize("peers", [False, True], ids=["from files", "from peers"])
def test_no_start_takes_less_than_what_is_expected_of_all_devices_together(peers: bool) -> None:
    """A placement of which no device starts soon enough is not made."""
    absent = 0
    for seed in range(20):
        deployed = cluster(functions=6, backbones=2, devices=3, memory=260, peers=peers)
        machine = Recorder(deployed, replace(SHARING, placement=Checked))
        move(machine, Random(seed))
        placement = machine.controller.policies.placement
        assert isinstance(placement, Checked)
        absent += placement.absent
    assert absent > 20


def test_devices_are_taken_in_turn_also_where_none_is_chosen() -> None:
    placements = [EarliestCompletion(candidates=2) for _ in range(2)]
    machine = Machine(cluster(functions=9, devices=8), SHARING)
    group, state = machine.controller.state.cluster.groups["f0"], machine.controller.state
    weighs, leaves = placements
    assert leaves.choose_within(group, state, 0, most_ns=1) is None
    weighs.choose(group, state, 0)
    assert leaves.choose(group, state, 0) is weighs.choose(group, state, 0)


def two_of_one() -> tuple[Machine, int, int]:
    """Return a machine with two devices, each of which computes two batches at full speed and has a
    ready instance of f0; and their ids."""
    deployed = cluster(functions=1, devices=2)
    devices = {name: replace(each, slots=2) for name, each in deployed.devices.items()}
    machine = Machine(replace(deployed, devices=devices), SHARING)
    machine.arrive("f0")
    machine.settle()
    waits_for_long(machine)
    machine.settle()
    first, second = machine.processes
    return machine, first, second


def long_wait(machine: Machine) -> None:
    """Let requests of f0 wait for as long as any start takes."""
    waits_for_long(machine)


def test_a_sleeping_one_is_woken_where_each_device_has_one() -> None:
    """Counted among those that serve, it left all load to one of two devices."""
    machine, first, second = two_of_one()
    machine.fires(second)
    machine.settle()
    assert list(machine.controller.state.members("f0").wakeable) == [second]
    long_wait(machine)
    assert list(machine.controller.state.members("f0").serving) == [first, second]


def test_none_is_added_on_a_device_where_one_of_its_own_still_stops() -> None:
    machine, first, second = two_of_one()
    machine.now += 10_000
    machine.fires(second)
    assert machine.controller.state.instances[second].phase is Phase.STOPPING
    long_wait(machine)
    assert list(machine.processes) == [first, second]
    machine.stops(second)
    machine.arrive("f0")
    assert devices_of(machine, "f0") == ["cpu:0", "cpu:1"]


def decoding(machine: Machine) -> tuple[Instance, Instance]:
    """Return an instance of f0 on the first device, with a request that decodes, and one that could
    be started on the second."""
    machine.arrive("f0")
    (serving,) = machine.controller.state.serving("f0")
    machine.prefills(serving.id)
    copy = CopyKey("b0", "cpu:1")
    return serving, Instance(9, serving.group, "cpu:1", copy, forked=True, inherited=DORMANT)


def test_what_running_requests_wait_for_the_prompts_of_others_pays_for_a_start() -> None:
    machine = Machine(cluster(functions=1, devices=2), DELAYED)
    machine.arrive("f0")
    machine.settle()
    serving, new = decoding(machine)
    state, scaling = machine.controller.state, machine.controller.policies.scaling
    saved_ns = state.estimates("f0").law.fixed_ns / 2  # by a second instance
    enough = int(start_ns(new, state, machine.now) / saved_ns) + 1
    for _ in range(enough - 1):
        scaling.joins(serving, state)
    assert not scaling.gains(new, state, machine.now)
    scaling.joins(serving, state)
    assert scaling.wants_another("f0", state, machine.now)
    assert scaling.gains(new, state, machine.now)
    machine.finishes(serving.id)
    assert serving.idle
    assert not scaling.wants_another("f0", state, machine.now), "it was idle since"


def test_it_pays_for_no_start_beside_an_instance_of_others() -> None:
    machine = two_homes(DELAYED)
    serving, new = decoding(machine)
    state, scaling = machine.controller.state, machine.controller.policies.scaling
    for _ in range(1_000):
        scaling.joins(serving, state)
    assert scaling.wants_another("f0", state, machine.now)
    assert not scaling.gains(new, state, machine.now)
    (other,) = state.serving("f1")
    machine.dies(other.id)
    assert scaling.gains(new, state, machine.now)


@pytest.mark.parametrize("scaling", [WaitedAsLong, DelayedAsLong])
def test_what_waits_for_the_first_adapter_of_all_has_no_use_of_another(
    scaling: type[WaitedAsLong],
) -> None:
    """How long an adapter takes is unknown, which is not no time at all."""
    deployed = cluster(functions=2, devices=2, shared=True)
    unknown = {name: replace(each, delay_ns={}) for name, each in deployed.groups.items()}
    machine = Machine(replace(deployed, groups=unknown), replace(SHARING, scaling=scaling))
    machine.arrive("f0")
    machine.template_ready()
    while not machine.loading():
        machine.now += 10
        machine.step()
    assert len(machine.processes) == 1
