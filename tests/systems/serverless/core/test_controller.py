"""The controller's decisions, in the order of a function's life."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from systems.interface import MemoryOwner
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.core.cluster_spec import HOST, ClusterSpec
from systems.serverless.core.estimates import SlidingWindow
from systems.serverless.core.instance import Phase
from systems.serverless.core.memory import Holding
from systems.serverless.core.policies.batching import FillOrExpire

from .machine import BUNDLES, PRIVATE, SHARING, SHEDDING, Machine, cluster

ALWAYS = replace(SHARING, batching=partial(FillOrExpire, hold="always"))


def kinds(actions: list[act.Action]) -> list[type]:
    return [type(action) for action in actions]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_request_is_served_from_nothing(bundle: str) -> None:
    machine = Machine(cluster(), BUNDLES[bundle])
    request = machine.arrive("f0")
    machine.settle()
    assert machine.answers == {request: "ok"}


def test_the_second_function_shares_the_backbone_and_the_libraries() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    before = dict(machine.copies)
    machine.arrive("f1")
    (instance,) = [i for i, p in machine.processes.items() if p.group.id == "f1"]
    machine.starts(instance)
    assert machine.copies == before == {CopyKey("b0", "cpu:0"): "loaded"}
    assert machine.loads[instance].artifact == "backbone"
    machine.settle()
    assert len(machine.processes) == 2


def test_without_sharing_each_instance_holds_its_own() -> None:
    machine = Machine(cluster(memory=1000), PRIVATE)
    for function in ("f0", "f1", "f2"):
        machine.arrive(function)
    machine.settle()
    weights = [size for (_, h), size in machine.held.items() if h.owner == "weights"]
    assert weights == [100, 100, 100]


def test_requests_that_wait_while_a_batch_is_prefilled_form_the_next() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    machine.arrive("f0")
    for _ in range(5):
        machine.arrive("f0")
    assert len(machine.processes[instance].fresh) == 1
    machine.prefills(instance)
    machine.fires("cpu:0")
    assert len(machine.processes[instance].fresh) == 3, "four run at once, one is decoding"
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}
    assert len(machine.answers) == 7


def test_an_idle_instance_is_stopped_after_its_keep_alive_and_not_before() -> None:
    machine = Machine(cluster(), PRIVATE)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    machine.now = 900
    machine.arrive("f0")
    machine.settle()
    machine.fires(instance)
    assert not machine.stopping, "it was busy 100 ns ago"
    assert machine.timers[instance] == 1900
    machine.fires(instance)
    assert machine.stopping == {instance}


def test_an_instance_that_is_not_called_any_more_sleeps_and_then_ends() -> None:
    policies = replace(SHARING, new_rate=lambda: SlidingWindow(1500))
    machine = Machine(cluster(), policies)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    machine.fires(instance)
    assert machine.offloads[instance].artifacts == ("kernels",), "worth its bytes, but no KV cache"
    machine.settle()
    machine.fires(instance)
    assert machine.offloads[instance].artifacts == ("adapter", "backbone")
    machine.settle()
    assert machine.processes[instance].in_place == ["libraries"]
    request = machine.arrive("f0")
    machine.settle()
    assert machine.answers[request] == "ok"
    assert list(machine.processes) == [instance], "the same container was woken"
    for _ in range(9):
        machine.fires(instance)
        machine.settle()
        if instance not in machine.processes:
            break
    assert machine.now - 2000 == 4000, "the container's own keep-alive, from its last request"


def test_under_pressure_the_least_value_for_its_bytes_is_offloaded_first() -> None:
    machine = Machine(cluster(memory=210), SHARING)
    for function in ("f0", "f0", "f1", "f2"):
        machine.arrive(function)
        machine.settle()
        machine.now += 10
    before = {p.group.id: i for i, p in machine.processes.items()}
    assert len(before) == 3, "all that fits"
    machine.arrive("f3")
    victims = {machine.processes[i].group.id for i in machine.offloads}
    assert before["f0"] not in machine.offloads, "it is called twice as often"
    assert victims <= {"f1", "f2"}
    machine.settle()
    assert machine.answers[5] == "ok"


def test_what_a_mere_process_holds_of_a_card_can_be_had_by_ending_it() -> None:
    machine = Machine(cluster(functions=2, memory=142, card=True), SHARING)
    machine.arrive("f0")
    machine.settle()
    (first,) = machine.processes
    machine.fires(first)
    machine.settle()
    assert first in machine.processes, "its container is kept"
    machine.arrive("f1")
    machine.settle()
    assert first not in machine.processes, "three bytes were missing"
    assert machine.answers == {1: "ok", 2: "ok"}


def test_a_request_on_a_card_takes_a_whole_slot_and_gives_it_back() -> None:
    machine = Machine(cluster(functions=1, card=True), SHARING)
    machine.arrive("f0", 1, 1)
    machine.settle()
    machine.arrive("f0", 1, 1)
    machine.arrive("f0", 1, 1)
    (instance,) = machine.processes
    while machine.processes[instance].batch is None:
        machine.step()
    held = {h.owner: size for (_, h), size in machine.held.items() if h.holder == instance}
    running = len(machine.processes[instance].fresh)
    assert held[MemoryOwner.KV] == 20 * running
    machine.settle()
    held = {h.owner: size for (_, h), size in machine.held.items() if h.holder == instance}
    assert held[MemoryOwner.KV] == 20, "one for the next"


def test_a_template_may_be_there_before_the_first_call() -> None:
    early = replace(cluster(), settings=replace(cluster().settings, template_at_deployment=True))
    machine = Machine(early, SHARING)
    machine.post(ev.Deployed())
    assert machine.templates == {HOST: "starting"}
    assert sum(machine.held.values()) == 10
    machine.template_ready()
    machine.arrive("f0")
    assert machine.processes, "forked at once"
    private = Machine(early, PRIVATE)
    private.post(ev.Deployed())
    assert private.templates == {}, "nothing is forked there"


def early_backbones(**shape: int) -> ClusterSpec:
    spec = cluster(**shape)  # type: ignore[arg-type]
    return replace(spec, settings=replace(spec.settings, backbones_at_deployment=True))


def test_backbones_may_be_there_before_the_first_call() -> None:
    machine = Machine(early_backbones(backbones=2, devices=2), SHARING)
    machine.post(ev.Deployed())
    first = CopyKey("b0", "cpu:0")
    assert machine.copies == {first: "loading", CopyKey("b1", "cpu:1"): "loading"}, "in turn"
    for copy in list(machine.copies):
        machine.backbone_loads(copy)
    machine.arrive("f0")
    machine.settle()
    assert machine.answers == {1: "ok"}
    assert first in machine.copies


def test_a_backbone_that_does_not_fit_or_is_private_waits_for_its_first_call() -> None:
    machine = Machine(early_backbones(backbones=2, memory=150), SHARING)
    machine.post(ev.Deployed())
    assert list(machine.copies) == [CopyKey("b0", "cpu:0")]
    private = Machine(early_backbones(), PRIVATE)
    private.post(ev.Deployed())
    assert private.copies == {}


def test_a_backbone_leaves_only_after_its_adapters() -> None:
    machine = Machine(cluster(functions=2, backbones=2, memory=150), SHARING)
    machine.arrive("f0")
    machine.settle()
    machine.arrive("f1")
    (victim,) = machine.offloads
    assert CopyKey("b0", "cpu:0") in machine.copies
    machine.offloads_artifacts(victim)
    assert CopyKey("b0", "cpu:0") not in machine.copies
    machine.settle()
    assert machine.answers == {1: "ok", 2: "ok"}


def test_t_is_learnt_as_if_nothing_else_decoded_or_prefilled_on_the_device() -> None:
    machine = Machine(cluster(), SHARING)
    machine.now = 1_000
    for function in ("f0", "f1", "f2"):
        machine.arrive(function)
        machine.settle()
    f0, f1, f2 = machine.processes
    machine.arrive("f0")
    machine.prefills(f0)  # and decodes all the time
    for _ in range(30):
        machine.arrive("f1")
        machine.now += 40  # beside f0: 20 alone
        machine.arrive("f2")
        machine.now += 240  # beside f0 and f2: 80 alone
        machine.prefills(f1)
        machine.finishes(f1)
        machine.prefills(f2)
        machine.finishes(f2)
    assert machine.controller.state.estimates("f1").law.ttft_ns(1) == pytest.approx(100)


def test_where_batches_are_always_held_one_runs_when_its_slack_is_used_up() -> None:
    machine = Machine(cluster(), ALWAYS)
    for function in ("f0", "f1"):
        machine.arrive(function)
        machine.settle()
    machine.arrive("f0")
    machine.fires("cpu:0")
    held = machine.arrive("f1")
    # SLO 2500, two instances at work, T(1) = 100.
    assert machine.timers["cpu:0"] == machine.now + 2500 - 2 * 100
    machine.fires("cpu:0")
    assert held not in machine.waiting


def test_a_full_batch_is_not_held() -> None:
    machine = Machine(cluster(), ALWAYS)
    machine.arrive("f0")
    machine.settle()
    for _ in range(3):
        machine.arrive("f0")
    assert len(machine.waiting) == 3
    machine.arrive("f0")
    assert machine.waiting == {}, "four are a full batch"


def test_a_queue_that_can_meet_no_deadline_sheds_with_a_time_to_retry() -> None:
    machine = Machine(cluster(), SHEDDING)
    for _ in range(120):
        machine.arrive("f0")
    shed = [request for request, how in machine.answers.items() if how == "shed"]
    assert shed
    machine.settle()
    assert list(machine.answers.values()).count("ok") == 120 - len(shed)


def test_a_function_that_floods_one_device_gets_another() -> None:
    machine = Machine(cluster(functions=1, devices=2), SHARING)
    for _ in range(9):
        machine.arrive("f0")
    assert {p.device for p in machine.processes.values()} == set()
    machine.template_ready()
    assert {p.device for p in machine.processes.values()} == {"cpu:0", "cpu:1"}
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_a_function_whose_oldest_request_has_waited_as_long_as_a_start_takes_gets_another() -> None:
    machine = Machine(cluster(functions=1, devices=2), SHARING)
    machine.arrive("f0")
    machine.settle()
    machine.arrive("f0")  # in its prefill, so that later ones wait
    machine.arrive("f0")
    delay_ns = dict(machine.controller.state.estimates("f0").delay_ns)
    del delay_ns[Artifact.LIBRARIES]  # a fork has them
    machine.now += round(sum(delay_ns.values())) - 1
    machine.arrive("f0")
    assert len(machine.processes) == 1, "a start now would serve it no sooner than that"
    machine.now += 2
    for _ in range(2):
        machine.arrive("f0")
        assert [p.device for p in machine.processes.values()] == ["cpu:0", "cpu:1"]
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_a_device_where_requests_have_waited_longer_than_a_load_takes_gets_no_more() -> None:
    machine = Machine(cluster(functions=3, devices=2), SHARING)
    machine.arrive("f0")
    machine.settle()
    machine.arrive("f0")
    machine.arrive("f0")
    machine.now += 300
    machine.arrive("f1")
    machine.now += 500
    machine.arrive("f2")
    homes = {p.group.id: p.device for p in machine.processes.values()}
    assert homes == {"f0": "cpu:0", "f1": "cpu:0", "f2": "cpu:1"}


def test_the_shared_backbone_outlives_its_last_instance_by_its_own_keep_alive() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    machine.dies(instance)
    copy = CopyKey("b0", "cpu:0")
    assert machine.copies == {copy: "loaded"}
    assert machine.timers[copy] == 5000
    machine.fires(copy)
    assert machine.copies == {}
    assert sum(machine.held.values()) == 10, "the template stays"


def test_a_full_device_makes_room_by_stopping_who_is_idle_longest() -> None:
    machine = Machine(cluster(memory=300), PRIVATE)
    for function in ("f0", "f1"):
        machine.arrive(function)
        machine.settle()
        machine.now += 10
    oldest = min(machine.processes)
    machine.arrive("f2")
    assert machine.stopping == {oldest}
    machine.settle()
    assert list(machine.answers.values()) == ["ok"] * 3


def test_memory_that_only_a_busy_instance_holds_is_waited_for() -> None:
    machine = Machine(cluster(memory=140), PRIVATE)
    machine.arrive("f0")
    machine.arrive("f1")
    assert [p.group.id for p in machine.processes.values()] == ["f0"]
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_a_death_takes_only_its_running_requests() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0"), machine.arrive("f1")
    machine.settle()
    machine.answers.clear()
    first, other, waiting = (machine.arrive(name) for name in ("f0", "f1", "f0"))
    victim = next(i for i, p in machine.processes.items() if p.group.id == "f0")
    machine.dies(victim)
    assert machine.answers == {first: "failed"}
    machine.settle()
    assert machine.answers == {first: "failed", other: "ok", waiting: "ok"}


def test_requests_fail_once_starting_has_failed_too_often() -> None:
    machine = Machine(cluster(), SHARING)
    request = machine.arrive("f0")
    machine.template_ready()
    (first,) = machine.processes
    machine.dies(first)
    assert machine.answers == {}, "one more try"
    (second,) = machine.processes
    machine.dies(second)
    assert machine.answers == {request: "failed"}
    assert machine.processes == {}


def test_a_backbone_that_cannot_be_loaded_fails_who_waits_for_it() -> None:
    machine = Machine(cluster(), SHARING)
    request = machine.arrive("f0")
    machine.template_ready()
    for _ in range(2):
        machine.backbone_fails(CopyKey("b0", "cpu:0"))
        for instance in list(machine.stopping):
            machine.stops(instance)
    assert machine.answers == {request: "failed"}


def test_a_backbone_that_fails_before_the_template_is_ready_fails_a_start() -> None:
    """It is loaded at deployment, so an instance can wait for its template and for it."""
    spec = cluster()
    spec = replace(spec, settings=replace(spec.settings, backbones_at_deployment=True))
    machine = Machine(spec, SHARING)
    machine.post(ev.Deployed())
    request = machine.arrive("f0")
    machine.backbone_fails(CopyKey("b0", "cpu:0"))
    instances = machine.controller.state.instances.values()
    assert [(each.id, each.asked) for each in instances] == [(1, False)], "another is tried"
    machine.template_ready()
    machine.backbone_fails(CopyKey("b0", "cpu:0"))
    assert machine.answers == {request: "failed"}


def test_a_cancelled_request_frees_its_place() -> None:
    machine = Machine(cluster(), SHARING)
    running = machine.arrive("f0")
    waiting = machine.arrive("f0")
    machine.cancel(waiting)
    machine.settle()
    assert machine.answers == {waiting: "cancelled", running: "ok"}
    assert machine.controller.state.requests == {}


def test_a_copy_of_its_own_is_loaded_once_its_instance_has_the_backbone() -> None:
    machine = Machine(cluster(), PRIVATE)
    machine.arrive("f0")
    (instance,) = machine.controller.state.instances.values()
    copy = machine.controller.state.copies[instance.copy]
    while instance.phase is Phase.STARTING:
        assert copy.loaded is (Artifact.BACKBONE in instance.in_place)
        assert machine.step()


def test_a_stopped_instance_fails_what_it_ran_and_says_why() -> None:
    machine = Machine(cluster(), SHARING)
    request = machine.arrive("f0")
    while not any(machine.running(each) for each in machine.processes):
        machine.step()
    (instance,) = machine.processes
    told = machine.post(ev.InstanceStopped(instance))
    assert act.FailRequest(request, 502, "instance lost: it was stopped") in told


def test_a_template_holds_memory_of_its_host_until_it_ends() -> None:
    spec = cluster()
    spec = replace(spec, settings=replace(spec.settings, template_host_bytes=7))
    machine = Machine(spec, SHARING)
    machine.arrive("f0")
    held = Holding(MemoryOwner.HOST_TIER, CopyKey("", "cpu:0"), None)
    machine.settle()
    assert machine.held[HOST, held] == 7
    machine.template_dies()
    assert machine.held[HOST, held] == 0


def test_a_decision_is_explained_with_its_numbers() -> None:
    machine = Machine(cluster(), SHARING)
    told: list[tuple[str, dict[str, object]]] = []
    machine.controller.state.explain = lambda kind, numbers: told.append((kind, dict(numbers)))
    machine.arrive("f0")
    # Libraries 300 ns and backbone 400 ns are missing; a prefill takes 100 ns.
    assert told == [("place", {"group": "f0", "device": "cpu:0", "due_ns": 800.0})]


def test_the_same_events_give_the_same_actions() -> None:
    def play() -> list[list[act.Action]]:
        machine = Machine(cluster(functions=3), SHARING)
        log: list[list[act.Action]] = []
        post = machine.post
        machine.post = lambda event: log.append(post(event)) or log[-1]  # type: ignore[assignment,func-returns-value]
        for function in ("f0", "f1", "f0", "f2"):
            machine.arrive(function)
            machine.step()
        machine.settle()
        return log

    assert play() == play()


def test_functions_of_one_backbone_that_start_at_once_start_on_all_devices() -> None:
    """Nothing is loaded anywhere yet, so a device with fewer at work serves each sooner."""
    machine = Machine(cluster(functions=8, devices=4, memory=2000), SHARING)
    for index in range(8):
        machine.arrive(f"f{index}")
    machine.template_ready()
    homes = Counter(process.device for process in machine.processes.values())
    assert homes == {f"cpu:{i}": 2 for i in range(4)}
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_a_host_that_leaves_takes_what_ran_there_and_what_waited_is_placed_elsewhere() -> None:
    machine = Machine(cluster(functions=2, devices=2, apart=True), SHARING)
    doomed = machine.arrive("f0")
    while not any(p.fresh for p in machine.processes.values()):
        assert machine.step()
    (process,) = machine.processes.values()
    waiting = machine.arrive("f0")
    machine.host_leaves(machine.cluster.devices[process.device].host)
    assert machine.answers == {doomed: "failed"}
    machine.settle()
    assert machine.answers == {doomed: "failed", waiting: "ok"}


def test_requests_wait_while_no_host_is_there_and_run_on_one_that_joins() -> None:
    machine = Machine(cluster(functions=1, devices=1, apart=True), SHARING)
    machine.host_leaves("h0")
    request = machine.arrive("f0")
    machine.settle()
    assert machine.answers == {}
    machine.host_joins("h0")
    machine.settle()
    assert machine.answers == {request: "ok"}


def test_each_host_has_a_template_of_its_own() -> None:
    machine = Machine(cluster(functions=2, devices=2, apart=True), SHARING)
    for function in ("f0", "f1"):
        machine.arrive(function)
    machine.settle()
    hosts = {machine.cluster.devices[p.device].host for p in machine.processes.values()}
    assert set(machine.templates) == hosts
