"""What a start is expected to take where prewarmed processes are ready, and what is learnt of it. A
backbone is read in 400 ns, an adapter loaded in 60; a prewarmed process takes 700 ns to make."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from systems.interface import MemoryOwner
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import DORMANT, Artifact, CopyKey
from systems.serverless.core.devices import BackboneCopy
from systems.serverless.core.instance import Instance
from systems.serverless.core.memory import Holding
from systems.serverless.core.policies.placement import EarliestCompletion, least_start_ns
from systems.serverless.core.start_time import start_ns

from .machine import SHARING, Machine, cluster

HOME = CopyKey("b0", "cpu:0")
MADE_NS = 700


def ready(
    *, functions: int = 4, prewarmed: int = 1, peers: bool = True, requests: int = 1
) -> Machine:
    """Return a machine with f0 on the first of two devices, by a fork that took as long as making a
    prewarmed process. It knows only what it has seen. ``requests``: that share what a start takes,
    where placement weighs it."""
    spec = cluster(functions=functions, devices=2, peers=peers)
    groups = {name: replace(each, delay_ns={}, peer_ns=0) for name, each in spec.groups.items()}
    policies = replace(SHARING, placement=partial(EarliestCompletion, requests=requests))
    machine = Machine(replace(spec, groups=groups), policies)
    machine.arrive("f0")
    machine.template_ready()
    machine.now = 400
    machine.backbone_loads(HOME)
    machine.now = MADE_NS
    machine.settle()
    for _ in range(prewarmed):
        machine.prewarms(HOME, MADE_NS)
    return machine


def starts_in(machine: Machine, function: str, device: str = "cpu:0") -> float:
    """Return how long a new instance of ``function`` is expected to take on ``device``."""
    state = machine.controller.state
    group, copy = state.cluster.groups[function], CopyKey("b0", device)
    new = Instance(-1, group, device, copy, forked=True, inherited=DORMANT)
    assert least_start_ns(group, [state.devices[device]], state) <= start_ns(
        new, state, machine.now
    )
    return start_ns(new, state, machine.now)


def serves(machine: Machine, function: str, *, process_ns: int, kernels_ns: int) -> int:
    """Start an instance of ``function``; return its id."""
    machine.arrive(function)
    instance = max(machine.processes)
    machine.now += process_ns
    machine.starts(instance)
    while instance in machine.loads:
        kernels = machine.loads[instance].artifact is Artifact.KERNELS
        machine.now += kernels_ns if kernels else 10
        machine.loads_artifact(instance)
    machine.settle()
    return instance


@pytest.mark.parametrize(
    ("service_ns", "prewarmed", "device"),
    [(700, 0, "cpu:0"), (900, 0, "cpu:1"), (2100, 1, "cpu:0"), (2300, 1, "cpu:1")],
)
def test_a_ready_process_is_taken_beside_work_unless_sharing_costs_more_than_a_fork(
    service_ns: float, prewarmed: int, device: str
) -> None:
    """Beside another, a request takes half as long again. On the empty device it waits 400 ns for
    the backbone, and 700 more for the fork if a prewarmed process is ready on the other."""
    machine = ready(prewarmed=prewarmed)
    assert beside_work(machine, service_ns) == device


@pytest.mark.parametrize(
    ("service_ns", "peers", "device"),
    [(210, True, "cpu:0"), (230, True, "cpu:1"), (2100, False, "cpu:0"), (2300, False, "cpu:1")],
)
def test_where_backbones_are_copied_ten_requests_share_a_start(
    service_ns: float, peers: bool, device: str
) -> None:
    """All of them would contend. So functions that are called often spread over the devices of a
    host, though the first request of each would be served sooner beside the others."""
    assert beside_work(ready(peers=peers, requests=10), service_ns) == device


def beside_work(machine: Machine, service_ns: float) -> str:
    """Return where f1 is placed while f0 serves a request on the first device."""
    state = machine.controller.state
    for _ in range(100):
        state.estimates("f0").service.observe(service_ns)
    machine.arrive("f0")
    machine.prefills(0)
    group, placement = state.cluster.groups["f1"], machine.controller.policies.placement
    return placement.choose(group, state, machine.now).spec.id


def test_a_ready_process_is_no_reason_to_evict_something_where_another_device_is_empty() -> None:
    machine = ready()
    state = machine.controller.state
    placement = machine.controller.policies.placement
    group, memory = state.cluster.groups["f1"], state.devices["cpu:0"].memory
    assert placement.choose(group, state, machine.now).spec.id == "cpu:0"
    memory.resize(Holding(MemoryOwner.KV, -1, None), memory.free)
    assert placement.choose(group, state, machine.now).spec.id == "cpu:1"


def test_once_the_pool_is_empty_a_start_takes_as_long_as_a_fork() -> None:
    machine = ready()
    adapter_ns = 10
    assert starts_in(machine, "f1") == 0, "neither takeover nor adapter were seen"
    assert starts_in(machine, "f1", "cpu:1") == MADE_NS + 400
    serves(machine, "f1", process_ns=5, kernels_ns=15)
    assert starts_in(machine, "f1") == pytest.approx(MADE_NS + adapter_ns)
    machine.prewarms(HOME)
    assert starts_in(machine, "f1") == 10 + 15 + adapter_ns


def test_what_a_takeover_takes_is_not_what_a_fork_takes() -> None:
    machine = ready()
    state = machine.controller.state
    serves(machine, "f1", process_ns=500, kernels_ns=15)
    learnt = state.estimates("f1")
    assert (learnt.takeover_ns, learnt.fork_ns) == (25, MADE_NS), "it waited while it was made"
    assert learnt.kernels_ns == MADE_NS
    serves(machine, "f2", process_ns=100, kernels_ns=300)
    assert learnt.takeover_ns == 25
    assert learnt.fork_ns == pytest.approx(0.9 * MADE_NS + 0.1 * (100 + 10 + 300))
    assert state.estimates("f2").delay_ns[Artifact.KERNELS] == 300


def test_a_fork_teaches_all_groups_of_its_backbone() -> None:
    machine = ready(prewarmed=0)
    assert starts_in(machine, "f3") == MADE_NS, "that of f0"
    serves(machine, "f1", process_ns=100, kernels_ns=300)
    forks_ns = 0.9 * MADE_NS + 0.1 * (100 + 10 + 300)
    assert starts_in(machine, "f3") == pytest.approx(forks_ns)


def test_making_a_prewarmed_process_teaches_what_a_fork_takes() -> None:
    spec = cluster(functions=1)
    early = replace(spec.settings, template_at_deployment=True, backbones_at_deployment=True)
    groups = {name: replace(each, delay_ns={}) for name, each in spec.groups.items()}
    machine = Machine(replace(spec, settings=early, groups=groups), SHARING)
    machine.post(ev.Deployed())
    machine.settle()
    assert starts_in(machine, "f0") == 0, "nothing was seen"
    machine.prewarms(HOME, MADE_NS)
    machine.post(ev.PrewarmedReady(HOME, 0))
    assert starts_in(machine, "f0") == MADE_NS


def test_an_instance_that_wakes_teaches_nothing_about_forks() -> None:
    machine = ready(prewarmed=0)
    machine.fires(0)
    machine.settle()
    assert machine.processes[0].in_place != list(Artifact)
    learnt = machine.controller.state.estimates("f0")
    before = learnt.fork_ns
    machine.arrive("f0")
    machine.now += 50
    machine.settle()
    assert learnt.fork_ns == before
    assert learnt.delay_ns[Artifact.KERNELS] < before


def test_a_process_that_replaces_that_of_a_fork_teaches_what_replacing_takes() -> None:
    machine = ready(prewarmed=0)
    machine.arrive("f1")
    instance = max(machine.processes)
    machine.now += 100
    machine.starts(instance)
    while machine.loads[instance].artifact is not Artifact.KERNELS:
        machine.loads_artifact(instance)
    machine.now += 20
    machine.processes[instance].prewarmed = True
    machine.loads_artifact(instance)
    learnt = machine.controller.state.estimates("f1")
    assert (learnt.takeover_ns, learnt.fork_ns) == (20, MADE_NS)


def test_the_pool_of_a_copy_ends_with_it() -> None:
    machine = ready()
    state = machine.controller.state
    assert state.prewarmed == {"b0": {"cpu:0": 1}}
    machine.post(ev.PrewarmedReady(CopyKey("b0", "cpu:1"), 3, 50))
    state.add_copy(BackboneCopy(CopyKey("b0", "cpu:1"), 100))
    machine.post(ev.PrewarmedReady(CopyKey("b0", "cpu:1"), 3, 50))
    machine.post(ev.PrewarmedReady(HOME._replace(instance=0), 3, 50))
    assert state.prewarmed == {"b0": {"cpu:0": 1}}
    machine.host_leaves("host")
    assert state.prewarmed == {"b0": {}}


def test_the_pool_of_a_copy_that_fails_after_it_was_loaded_is_gone() -> None:
    """The process that keeps it ended. What is told of its pool later is of processes that end."""
    machine = ready(prewarmed=2)
    state = machine.controller.state
    machine.backbone_fails(HOME)
    assert state.prewarmed == {"b0": {}}
    state.add_copy(BackboneCopy(HOME, 100, load=1))
    machine.post(ev.PrewarmedReady(HOME, 1))
    machine.post(ev.PrewarmedReady(HOME, 0))
    assert state.prewarmed == {"b0": {}}


@pytest.mark.parametrize("peers", [True, False])
def test_a_copy_that_was_never_made_takes_as_long_as_a_reading(peers: bool) -> None:
    machine = ready(prewarmed=0, peers=peers)
    assert starts_in(machine, "f1", "cpu:1") == MADE_NS + 400
    assert starts_in(machine, "f1", "cpu:0") == MADE_NS
