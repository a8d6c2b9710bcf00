"""What is evicted for a new instance, how many bytes that frees, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from systems.serverless.core.artifacts import DORMANT, PARKED, Artifact
from systems.serverless.core.cluster_spec import ClusterSpec
from systems.serverless.core.estimates import SlidingWindow
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.value import residencies

from .liveness import ALL
from .machine import DELAYS, PRIVATE, SHARING, Machine, cluster

PRIVATE_BY_VALUE = ALL["no-sharing"]


def costly(deployed: ClusterSpec, function: str, artifact: Artifact) -> ClusterSpec:
    """Make ``artifact`` of ``function`` take ten times as long to load as that of the others."""
    delays: Mapping[Artifact, int] = {**DELAYS, artifact: 10 * DELAYS[artifact]}
    spec = replace(deployed.groups[function], delay_ns=delays)
    return replace(deployed, groups={**deployed.groups, function: spec})


def called(deployed: ClusterSpec, policies: PolicySet, *functions: str) -> Machine:
    """Return a machine on which each function was called once, in turn, and is idle."""
    machine = Machine(deployed, policies)
    for function in functions:
        machine.arrive(function)
        machine.settle()
        machine.now += 10
    return machine


def instance_of(machine: Machine, function: str) -> int:
    return next(i for i, p in machine.processes.items() if p.group.id == function)


@pytest.mark.parametrize("artifact", [Artifact.BACKBONE, Artifact.ADAPTER, Artifact.KERNELS])
def test_of_equally_called_functions_the_one_that_is_quickest_to_load_gives_way(
    artifact: Artifact,
) -> None:
    """By rates and bytes alone, f0 would be evicted, since it is idle longest. Its next request
    would wait ten times as long."""
    deployed = costly(cluster(functions=3, memory=290), "f0", artifact)
    machine = called(deployed, PRIVATE_BY_VALUE, "f0", "f1")
    machine.arrive("f2")
    assert set(machine.offloads) == {instance_of(machine, "f1")}


@pytest.mark.parametrize("artifact", [Artifact.BACKBONE, Artifact.ADAPTER])
@pytest.mark.parametrize("slow", ["f0", "f1"])
def test_of_equally_called_functions_the_one_that_is_slowest_to_load_is_kept_in_place(
    slow: str, artifact: Artifact
) -> None:
    """The device has room for one of the two."""
    deployed = costly(cluster(functions=2, memory=145), slow, artifact)
    machine = called(deployed, PRIVATE_BY_VALUE, "f0", "f1")
    state = machine.controller.state
    plan = residencies(state.devices["cpu:0"], state, machine.now)
    kept = {state.instances[i].group.id: residency for i, residency in plan.items()}
    assert kept == {f: PARKED if f == slow else DORMANT for f in ("f0", "f1")}


def test_a_shared_backbone_comes_free_with_the_last_that_maps_it_and_not_the_first() -> None:
    """f1 needs b0's bytes. If only one of the two offloaded, f1 would wait for bytes that do not
    come free, and then for a second offloading."""
    machine = called(cluster(functions=3, backbones=2, memory=200), SHARING, "f0", "f2")
    machine.arrive("f1")
    assert {machine.processes[i].group.id for i in machine.offloads} == {"f0", "f2"}
    assert all(Artifact.BACKBONE in told.artifacts for told in machine.offloads.values())


FORGETFUL = replace(SHARING, new_rate=lambda: SlidingWindow(1500))


@pytest.mark.parametrize(
    "policies", [FORGETFUL, ALL["no-preloading"]], ids=["goes to sleep", "ends"]
)
def test_who_leaves_a_backbone_to_others_gives_back_its_own_bytes_alone(
    policies: PolicySet,
) -> None:
    """f0 is being offloaded or ended, and f2 still maps the backbone. f0's bytes are not enough for
    f1, so f2 is evicted at once, not only when f0 is gone."""
    machine = called(cluster(functions=3, backbones=2, memory=200), policies, "f0", "f2")
    machine.now += 3000
    machine.fires(instance_of(machine, "f0"))
    (device,) = machine.controller.state.devices.values()
    assert device.leaving_bytes == 30
    machine.arrive("f1")
    assert instance_of(machine, "f2") in machine.offloads
    machine.settle()
    assert machine.answers == {1: "ok", 2: "ok", 3: "ok"}


def test_a_plan_does_not_spend_the_bytes_of_a_backbone_that_a_busy_instance_maps() -> None:
    """f1 sleeps, is slow to load and is called as often as f0. But its backbone fits only in place
    of b0, which the busy f2 uses. What f0 needs in addition to b0 fits."""
    deployed = costly(cluster(functions=3, backbones=2, memory=200), "f1", Artifact.BACKBONE)
    machine = called(deployed, SHARING, "f1", "f0")
    machine.arrive("f2")
    while not any(process.fresh for process in machine.processes.values()):
        assert machine.step()
    state = machine.controller.state
    plan = residencies(state.devices["cpu:0"], state, machine.now)
    assert plan == {instance_of(machine, "f0"): PARKED, instance_of(machine, "f1"): DORMANT}


def test_nothing_gives_way_for_bytes_that_are_coming_back_anyway() -> None:
    """f0 is ending, and f2 needs no more than its bytes: f1 is not evicted."""
    machine = called(cluster(functions=3, memory=280), PRIVATE, "f0", "f1")
    machine.fires(instance_of(machine, "f0"))
    assert machine.stopping == {instance_of(machine, "f0")}
    machine.arrive("f2")
    assert machine.stopping == {instance_of(machine, "f0")}
    machine.settle()
    assert {p.group.id for p in machine.processes.values()} == {"f1", "f2"}
    assert machine.answers == {1: "ok", 2: "ok", 3: "ok"}


def test_a_batch_that_grows_takes_nothing_beyond_the_bytes_that_are_coming_back() -> None:
    """The same for KV caches: f2's second request needs 20 bytes, and 130 are being freed."""
    machine = called(cluster(functions=3, memory=390), PRIVATE, "f0", "f1", "f2")
    machine.fires(instance_of(machine, "f0"))
    machine.arrive("f2", 10, 10)
    machine.prefills(instance_of(machine, "f2"))
    machine.arrive("f2", 10, 10)
    assert machine.stopping == {instance_of(machine, "f0")}
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}
