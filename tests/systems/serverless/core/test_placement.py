"""Where a new instance is placed: where its first request is expected to complete soonest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from systems.serverless.core.artifacts import CopyKey
from systems.serverless.core.devices import BackboneCopy, TemplatePhase
from systems.serverless.core.policies.placement import EarliestCompletion

from .machine import SHARING, Machine, cluster


def placed(machine: Machine, group: str) -> str:
    """Return the device that placement chooses for ``group`` now."""
    state = machine.controller.state
    choose = machine.controller.policies.placement.choose
    return choose(state.cluster.groups[group], state, machine.now).spec.id


def served(function: str, *, service_ns: float, functions: int = 3, devices: int = 2) -> Machine:
    """Return a machine where ``function`` is ready on the first device and its requests were
    observed to take ``service_ns``."""
    machine = Machine(cluster(functions=functions, devices=devices), SHARING)
    machine.arrive(function)
    machine.settle()
    learnt = machine.controller.state.estimates(function).service
    for _ in range(100):
        learnt.observe(service_ns)
    return machine


@pytest.mark.parametrize(("service_ns", "device"), [(700, "cpu:0"), (900, "cpu:1")])
def test_a_device_that_decodes_is_left_where_sharing_it_costs_more_than_a_load(
    service_ns: float, device: str
) -> None:
    """The first device holds the backbone and decodes one request; a load takes 400 ns. Two share
    it until one completes, after half a service time on average."""
    machine = served("f0", service_ns=service_ns)
    machine.arrive("f0")
    (instance,) = machine.processes
    machine.prefills(instance)
    assert placed(machine, "f1") == device


def test_before_anything_is_observed_the_service_time_is_that_of_the_profile() -> None:
    """Requests ask for 5 tokens. Before, only the first token was counted, and all functions of a
    burst started on the first device."""
    spec = cluster(functions=3, devices=3)
    groups = {name: replace(group, step_ns=100) for name, group in spec.groups.items()}
    machine = Machine(replace(spec, groups=groups), SHARING)
    for function in ("f0", "f1", "f2"):
        machine.arrive(function)
    machine.template_ready()
    assert [p.device for p in machine.processes.values()] == ["cpu:0", "cpu:1", "cpu:2"]
    assert machine.controller.state.estimates("f0").service_ns == 100 + 5 * 100


def test_what_is_left_of_a_loading_counts() -> None:
    """A request takes 100 ns, a load 400 ns. Beside the one that starts on the first device it
    takes 150 ns, after the rest of the loading."""
    machine = Machine(cluster(functions=2, devices=2), SHARING)
    machine.arrive("f0")
    machine.now = 10_000
    assert placed(machine, "f1") == "cpu:1", "it waits for the template: nothing is loaded yet"
    machine.now = 0
    machine.template_ready()
    machine.now = 40
    assert placed(machine, "f1") == "cpu:1", "360 + 150 ns there, 400 + 100 ns here"
    machine.now = 60
    assert placed(machine, "f1") == "cpu:0", "340 + 150 ns"


def test_a_host_without_a_template_takes_as_much_longer_as_libraries_do() -> None:
    """Decoding beside an instance costs less than the import of libraries on the other host."""
    machine = Machine(cluster(functions=2, devices=2, apart=True), SHARING)
    machine.arrive("f0")
    machine.template_ready()
    machine.settle()
    machine.arrive("f0")
    state = machine.controller.state
    assert [host.template.name for host in state.hosts.values()] == ["READY", "ABSENT"]
    # so that the hosts differ in their templates only
    state.add_copy(BackboneCopy(CopyKey("b0", "cpu:1"), 100, loaded=True))
    assert placed(machine, "f1") == "cpu:0"
    state.hosts["h1"].template = TemplatePhase.READY
    assert placed(machine, "f1") == "cpu:1"


def test_a_service_time_is_divided_by_the_number_at_work() -> None:
    machine = Machine(cluster(functions=3), SHARING)
    for function in ("f0", "f1"):
        machine.arrive(function)
        machine.settle()
    started = machine.now
    for function in ("f0", "f1"):
        machine.arrive(function)
    first, second = machine.processes
    for instance in (first, second):
        machine.prefills(instance)
    machine.now = started + 800
    machine.finishes(first)
    state = machine.controller.state
    shared_ns = 0.1 * 800 / 2  # a tenth: the first requests were observed to take no time
    assert state.estimates("f0").service_ns == pytest.approx(shared_ns)
    machine.finishes(second)
    assert state.estimates("f1").service_ns == pytest.approx(0.1 * 800), "f1 was alone at the end"


def test_a_function_that_was_not_served_takes_the_service_time_of_its_backbone() -> None:
    machine = served("f0", service_ns=700)
    estimates = machine.controller.state.estimates
    assert estimates("f1").service_ns == pytest.approx(700, rel=0.01)
    estimates("f1").service.observe(1700)
    assert estimates("f1").service_ns == pytest.approx(0.9 * 700 + 170, rel=0.01)
    assert estimates("f0").service_ns == pytest.approx(700, rel=0.01), "it has its own"


def test_every_device_of_a_large_cluster_is_looked_at_in_turn() -> None:
    """The devices that hold the backbone and all devices are taken in turn, each on their own. With
    one number for both, every second pair of the eight devices was stepped over."""
    policies = replace(SHARING, placement=partial(EarliestCompletion, candidates=2))
    machine = Machine(cluster(functions=9, devices=8), policies)
    state = machine.controller.state
    placement = machine.controller.policies.placement
    assert isinstance(placement, EarliestCompletion)
    keys = (CopyKey("b0", f"cpu:{i}") for i in range(4))
    for key in keys:
        state.add_copy(BackboneCopy(key, bytes=1))
    seen = [
        device.spec.id
        for _ in range(4)
        for device in placement._looked_at(state.cluster.groups["f0"], state)
    ]
    assert set(seen) == set(state.devices)
