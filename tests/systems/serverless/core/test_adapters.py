"""Adapters in the places of an instance that several functions share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.cluster_spec import HOST
from systems.serverless.core.instance import Phase
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.offloading import LeastRecentlyUsed, NoOffloading
from systems.serverless.core.policies.preloading import NoPreloading
from systems.serverless.core.policies.sharing import PrivatePerInstance

from .machine import PRIVATE, SHARING, Machine, cluster

ON_DEMAND = replace(SHARING, preloading=NoPreloading)


def up(*functions: str, places: int = 2, policies: PolicySet = ON_DEMAND) -> Machine:
    """Return a machine whose shared instance has answered a request of each of ``functions``."""
    machine = Machine(cluster(functions=4, shared=True, places=places), policies)
    for function in functions:
        machine.now += 10
        machine.arrive(function)
        machine.settle()
    return machine


def held(machine: Machine) -> set[str]:
    (process,) = machine.processes.values()
    return set(process.adapters)


def test_functions_of_a_group_share_one_instance_and_one_batch() -> None:
    machine = up("f0", "f1")
    (instance,) = machine.processes
    blocking = machine.arrive("f0")
    pair = [machine.arrive("f1"), machine.arrive("f0")]
    assert machine.processes[instance].fresh == {blocking}
    machine.prefills(instance)
    assert machine.processes[instance].fresh == set(pair)


def test_a_request_waits_for_its_own_adapter_only() -> None:
    machine = up("f0")
    (instance,) = machine.processes
    missing = machine.arrive("f1")
    assert machine.loading() == [(instance, "f1")]
    present = machine.arrive("f0")
    assert machine.processes[instance].fresh == {present}
    machine.prefills(instance)
    machine.loads_adapter(instance, "f1")
    assert machine.processes[instance].fresh == {missing}


def test_a_request_without_an_adapter_runs_once_an_instance_is_ready() -> None:
    machine = Machine(cluster(functions=4, shared=True, bare=True), ON_DEMAND)
    machine.arrive("f0")
    machine.settle()
    assert not machine.controller.state.requests, "it was answered"


def test_the_most_urgent_request_of_any_function_comes_first() -> None:
    machine = up("f0", "f1")
    state = machine.controller.state
    functions = dict(state.cluster.functions)
    functions["f1"] = replace(functions["f1"], slo_ttft_ns=100)
    state.cluster = replace(state.cluster, functions=functions)
    (instance,) = machine.processes
    machine.arrive("f0")
    waiting = [machine.arrive("f0") for _ in range(4)]
    machine.now += 1
    urgent = machine.arrive("f1")
    machine.prefills(instance)
    assert machine.processes[instance].fresh == {urgent, *waiting[:2]}, "a batch of 4 at most"


@pytest.mark.parametrize(
    ("policies", "victim"),
    [
        (ON_DEMAND, "f1"),
        (replace(ON_DEMAND, offloading=LeastRecentlyUsed), "f0"),
    ],
)
def test_the_offloading_policy_chooses_whose_place_is_given_away(
    policies: PolicySet, victim: str
) -> None:
    machine = up("f0", "f0", "f0", "f1", policies=policies)
    assert held(machine) == {"f0", "f1"}
    machine.arrive("f2")
    assert held(machine) == {"f0", "f1", "f2"} - {victim}


def test_without_offloading_an_adapter_keeps_its_place_for_a_keep_alive() -> None:
    machine = up("f0", "f1", policies=replace(ON_DEMAND, offloading=NoOffloading))
    machine.arrive("f2")
    assert held(machine) == {"f0", "f1"}
    (timer,) = [timer for timer in machine.timers if type(timer).__name__ == "Places"]
    machine.fires(timer)
    assert held(machine) == {"f1", "f2"}


def test_an_adapter_in_use_or_waited_for_keeps_its_place() -> None:
    machine = up("f0", "f1")
    (instance,) = machine.processes
    machine.arrive("f0")
    machine.arrive("f1")
    machine.arrive("f2")
    assert held(machine) == {"f0", "f1"}
    machine.prefills(instance)
    machine.finishes(instance)
    assert held(machine) == {"f1", "f2"}


def test_a_place_is_filled_beforehand_by_the_most_called_function_that_has_none() -> None:
    machine = up("f0", "f1", "f1", places=3, policies=SHARING)
    (instance,) = machine.processes
    assert held(machine) == {"f0", "f1"}
    machine.dies(instance)
    machine.arrive("f2")
    while not machine.loading():
        machine.step()
    (again,) = machine.processes
    machine.loads_adapter(again, "f2")
    assert machine.loading() == [(again, "f1")]


def test_no_place_is_filled_for_a_function_that_is_not_called_any_more() -> None:
    machine = up("f0", "f1", places=3, policies=SHARING)
    (instance,) = machine.processes
    machine.dies(instance)
    machine.now += 10**12
    machine.arrive("f2")
    machine.settle()
    assert held(machine) == {"f2"}


@pytest.mark.parametrize(
    ("places", "nbytes", "found"),
    [
        (4, 1000, {"f0", "f1", "f2", "f3"}),
        (4, 14, {"f0", "f1", "f3"}),
        (3, 1000, {"f3"}),
        (4, 0, {"f3"}),
    ],
    ids=("all", "what was prepared", "a place is missing", "none was prepared"),
)
def test_where_each_function_has_a_place_those_not_called_are_loaded_too(
    places: int, nbytes: int, found: set[str]
) -> None:
    deployed = cluster(functions=4, shared=True, places=places)
    settings = replace(deployed.settings, adapters_at_deployment_bytes=nbytes)
    machine = Machine(replace(deployed, settings=settings), SHARING)
    machine.arrive("f3")
    while not machine.loading():
        machine.step()
    (instance,) = machine.processes
    assert machine.loading() == [(instance, "f3")], "what is waited for comes first"
    machine.settle()
    assert held(machine) == found


def test_a_function_without_an_adapter_needs_no_place() -> None:
    """A gateway serves the bare backbone beside the functions of its group."""
    deployed = cluster(functions=5, shared=True, places=4, bare=True)
    settings = replace(deployed.settings, adapters_at_deployment_bytes=1000)
    machine = Machine(replace(deployed, settings=settings), SHARING)
    machine.arrive("f3")
    machine.settle()
    assert held(machine) == {"f1", "f2", "f3", "f4"}


def test_an_adapter_that_cannot_be_loaded_fails_its_own_requests() -> None:
    machine = up("f0")
    (instance,) = machine.processes
    bad, also = machine.arrive("f1"), machine.arrive("f1")
    machine.adapter_fails(instance, "f1")
    assert {machine.answers[bad], machine.answers[also]} == {"failed"}
    good = machine.arrive("f0")
    machine.settle()
    assert machine.answers[good] == "ok"


def test_an_adapter_that_was_not_asked_for_changes_nothing() -> None:
    machine = up("f0")
    (instance,) = machine.processes
    assert machine.post(ev.AdapterLoaded(instance, "f1")) == []
    assert held(machine) == {"f0"}


def test_a_sleeping_instance_holds_no_adapter_and_loads_them_again() -> None:
    machine = up("f0", "f1", policies=SHARING)
    (instance,) = machine.processes
    for _ in range(2):  # at first it has not been idle for long enough
        machine.fires(instance)
        machine.settle()
    state = machine.controller.state.instances[instance]
    assert state.phase is Phase.ASLEEP
    assert not state.places
    later = machine.arrive("f1")
    machine.settle()
    assert machine.answers[later] == "ok"


def prepared(machine: Machine) -> list[set[str]]:
    return [process.prepared for process in machine.processes.values()]


def test_an_adapter_is_prepared_once_while_an_instance_starts() -> None:
    machine = Machine(cluster(functions=4, shared=True), SHARING)
    machine.arrive("f0")
    assert not machine.processes, "parsers too are forked from the template"
    machine.template_ready()
    assert prepared(machine) == [{"f0"}]
    machine.arrive("f0")
    machine.arrive("f1")
    assert prepared(machine) == [{"f0", "f1"}]
    machine.settle()
    machine.arrive("f2")
    assert prepared(machine) == [{"f0", "f1"}], "an instance is ready and loads it"


def test_an_adapter_is_prepared_on_the_host_of_the_starting_instance() -> None:
    machine = Machine(cluster(functions=4, shared=True, devices=2, apart=True), PRIVATE)
    machine.host_leaves("h0")
    machine.arrive("f0")
    (process,) = machine.processes.values()
    assert (process.device, process.prepared) == ("cpu:1", {"f0"})


def test_each_waiting_adapter_is_prepared_for_one_of_the_instances_that_start() -> None:
    """A host that parses all adapters for each of its instances parses those late that are needed
    first: with 256 devices, requests waited for half a minute after the start."""
    deployed = cluster(functions=4, shared=True, devices=2, apart=True, places=2)
    machine = Machine(deployed, PRIVATE)
    for function in ("f0", "f1", "f2", "f3", "f0"):
        machine.arrive(function)
    assert prepared(machine) == [{"f0", "f1"}, {"f2", "f3"}]


def test_of_two_instances_that_start_one_prepares_a_new_adapter() -> None:
    machine = Machine(cluster(functions=4, shared=True, devices=2, apart=True), PRIVATE)
    for _ in range(5):
        machine.arrive("f0")
    assert prepared(machine) == [{"f0"}, set()]
    machine.arrive("f1")
    assert prepared(machine) == [{"f0", "f1"}, set()]


def test_an_adapter_is_prepared_for_the_instance_that_starts_beside_a_sleeping_one() -> None:
    """f3 was slow to start, so a second instance starts; f0 takes the memory of the first."""
    deployed = cluster(backbones=2, devices=2, memory=254, card=True, shared=True)
    machine = Machine(deployed, replace(SHARING, sharing=PrivatePerInstance))
    machine.arrive("f3")
    machine.step()
    machine.step()
    machine.now += 1584
    for _ in range(5):
        machine.step()
    machine.arrive("f0")
    machine.step()
    machine.arrive("f1")
    phases = [each.phase for each in machine.controller.state.instances.values()]
    assert phases == [Phase.ASLEEP, Phase.STARTING, Phase.STARTING]
    assert prepared(machine) == [set(), {"f1"}, {"f0"}]
    machine.settle()
    assert not machine.waiting


def test_an_adapter_is_prepared_again_for_the_next_start() -> None:
    machine = up("f0", "f1", policies=SHARING)
    (instance,) = machine.processes
    for _ in range(2):
        machine.fires(instance)
        machine.settle()
    machine.arrive("f0")
    assert prepared(machine) == [{"f0"}], "it wakes"
    machine.dies(instance)
    assert prepared(machine) == [{"f0"}], "another one starts"


@pytest.mark.parametrize(("nbytes", "early"), [(0, 0), (10, 2), (14, 2), (1000, 4)])
def test_adapters_are_prepared_at_deployment_as_far_as_the_tier_goes(
    nbytes: int, early: int
) -> None:
    deployed = cluster(functions=4, shared=True)
    settings = replace(
        deployed.settings, template_at_deployment=True, adapters_at_deployment_bytes=nbytes
    )
    machine = Machine(replace(deployed, settings=settings), SHARING)
    told = machine.post(ev.Deployed())
    assert told[0] == act.StartTemplate(HOST), "before its forks"
    assert machine.early == [(HOST, f"f{i}") for i in range(early)]


def test_a_host_that_joins_prepares_adapters_too() -> None:
    deployed = cluster(functions=2, shared=True, devices=2, apart=True)
    settings = replace(deployed.settings, adapters_at_deployment_bytes=1000)
    machine = Machine(replace(deployed, settings=settings), SHARING)
    machine.host_leaves("h1")
    machine.host_joins("h1")
    assert machine.early == [("h1", "f0"), ("h1", "f1")]


def test_a_group_without_places_prepares_nothing() -> None:
    deployed = cluster(functions=4)
    settings = replace(deployed.settings, adapters_at_deployment_bytes=1000)
    machine = Machine(replace(deployed, settings=settings), SHARING)
    assert machine.post(ev.Deployed()) == []
    machine.arrive("f0")
    machine.settle()
    assert prepared(machine) == [set()]


def test_a_full_instance_gets_a_second_one_beside_it() -> None:
    machine = Machine(cluster(functions=2, shared=True, devices=2), ON_DEMAND)
    machine.arrive("f0")
    machine.settle()
    for _ in range(12):
        machine.arrive("f1")
    machine.settle()
    assert len(machine.processes) == 2
    assert set(machine.answers.values()) == {"ok"}


def two(waiting: int) -> tuple[Machine, int, int]:
    """Return a machine with two idle instances, the first with f0's adapter, and then as many
    requests of f0, one of which is in its prefill."""
    machine = Machine(cluster(functions=3, shared=True, devices=2, places=3), ON_DEMAND)
    for _ in range(13):
        machine.arrive("f0")
    machine.settle()
    for _ in range(waiting):
        machine.arrive("f0")
    first, second = machine.processes
    assert [len(machine.running(instance)) for instance in (first, second)] == [1, 0]
    return machine, first, second


def full() -> tuple[Machine, int, int]:
    """The same, when both hold f0's adapter and run all they can; one request of f0 waits."""
    machine, first, second = two(9)
    machine.loads_adapter(second, "f0")
    machine.prefills(first)
    machine.fires("cpu:0")
    machine.prefills(first)
    machine.prefills(second)
    assert [len(machine.running(instance)) for instance in (first, second)] == [4, 4]
    assert len(machine.waiting) == 1
    return machine, first, second


def test_a_second_instance_loads_an_adapter_if_the_first_has_too_little_room() -> None:
    machine, *_ = two(4)
    assert machine.loading() == [], "the first one has room for all"
    machine, _, second = two(5)
    assert machine.loading() == [(second, "f0")]


def test_a_full_instance_loads_the_adapter_for_its_next_free_slot() -> None:
    machine, *_ = full()
    machine.arrive("f1")
    ((_, function),) = machine.loading()
    assert function == "f1"


def test_a_second_instance_loads_an_adapter_only_with_room_beyond_what_it_can_run() -> None:
    machine, *instances = full()
    machine.arrive("f1")
    ((holder, _),) = machine.loading()
    (other,) = (instance for instance in instances if instance != holder)
    machine.loads_adapter(holder, "f1")
    machine.finishes(other)
    assert machine.loading() == [], "the waiting request of f0 takes the room"
    machine.fires(machine.processes[other].device)
    machine.prefills(other)
    machine.finishes(other)
    assert machine.loading() == [(other, "f1")]


def test_an_adapter_that_nobody_waits_for_any_more_gives_way_once_it_is_loaded() -> None:
    machine = up("f0", places=1)
    (instance,) = machine.processes
    gone = machine.arrive("f1")
    machine.cancel(gone)
    later = machine.arrive("f2")
    assert machine.loading() == [(instance, "f1")], "one that is being loaded keeps its place"
    machine.loads_adapter(instance, "f1")
    assert machine.loading() == [(instance, "f2")]
    machine.settle()
    assert machine.answers[later] == "ok"


def test_a_place_is_free_for_others_when_its_last_waiting_request_is_cancelled() -> None:
    machine = up("f0", "f1")
    machine.arrive("f1")
    waits = machine.arrive("f0")
    machine.arrive("f2")
    assert held(machine) == {"f0", "f1"}
    machine.cancel(waits)
    assert held(machine) == {"f1", "f2"}


def test_an_adapter_in_place_cannot_be_said_to_have_failed() -> None:
    machine = up("f0")
    (instance,) = machine.processes
    machine.disbelieves([ev.AdapterFailed(instance, "f0", "no"), ev.AdapterLoaded(instance, "f0")])


def test_all_places_are_reserved_while_an_instance_can_serve() -> None:
    machine = up("f0", policies=SHARING)
    (instance,) = machine.processes
    reserved = machine.controller.state.instances[instance].holdings.adapters
    assert machine.held["cpu:0", reserved] == 2 * 5
    for _ in range(2):  # at first it has not been idle for long enough
        machine.fires(instance)
        machine.settle()
    assert machine.held["cpu:0", reserved] == 0


def test_the_host_tier_of_adapters_is_host_memory_until_its_host_leaves() -> None:
    machine = Machine(cluster(devices=2, apart=True), ON_DEMAND)

    def on_host() -> int:
        return sum(size for (device, _), size in machine.held.items() if device == HOST)

    before = on_host()
    (first, second) = machine.controller.state.hosts
    machine.post(ev.AdapterTierResized(70, first))
    machine.post(ev.AdapterTierResized(5, second))
    machine.post(ev.AdapterTierResized(40, first))
    machine.post(ev.AdapterTierResized(9, "no host of ours"))
    assert on_host() - before == 45
    machine.host_leaves(first)
    assert on_host() - before == 5


def test_an_adapter_that_always_fails_does_not_keep_others_from_being_preloaded() -> None:
    """It was called most, so it was the next to be preloaded after every failure, and the last."""
    machine = up("f0", "f2", "f1", "f1", places=4, policies=SHARING)
    machine.dies(*machine.processes)
    bad = machine.arrive("f1")
    while not machine.loading():
        machine.step()
    (instance,) = machine.processes
    machine.adapter_fails(instance, "f1")
    assert machine.answers[bad] == "failed"
    for function in ("f0", "f2"):
        assert machine.loading() == [(instance, function)]
        machine.loads_adapter(instance, function)
    machine.dies(instance)
    machine.arrive("f0")
    machine.settle()
    assert held(machine) == {"f0", "f2"}, "nor is it preloaded at the next start"
    (instance,) = machine.processes
    again = machine.arrive("f1")
    machine.loads_adapter(instance, "f1")
    machine.settle()
    assert machine.answers[again] == "ok"
    assert held(machine) == {"f0", "f1", "f2"}
