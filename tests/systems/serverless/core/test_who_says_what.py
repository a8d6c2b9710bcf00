"""Only requested events of an instance or loader count; cancelled requests end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import CopyKey, Release
from systems.serverless.core.policies.batching import FirstComeFirstServed

from .machine import BUNDLES, SHARING, Machine, cluster

GRACE_NS = 800
COPY = CopyKey("b0", "cpu:0")
AT_ONCE = replace(SHARING, batching=FirstComeFirstServed)


def prefilling(*functions: str, memory: int = 1000) -> Machine:
    """Return a machine on which each function's instance has just received a request."""
    machine = Machine(cluster(memory=memory), AT_ONCE)
    for function in functions:
        machine.arrive(function)
        while not any(p.fresh for p in machine.processes.values() if p.group.id == function):
            assert machine.step()
    return machine


def instance_of(machine: Machine, function: str) -> int:
    return next(i for i, p in machine.processes.items() if p.group.id == function)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_nothing_that_was_not_asked_for_is_believed_at_any_moment(bundle: str) -> None:
    machine = Machine(cluster(functions=2), BUNDLES[bundle])
    for function in ("f0", "f1", "f0"):
        machine.arrive(function)
        machine.cancel(machine.arrive(function))
        machine.disbelieves(machine.forgeries())
        while machine.step():
            machine.disbelieves(machine.forgeries())


def test_the_loader_of_a_copy_that_was_dropped_is_not_believed_for_the_next() -> None:
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.template_ready()
    (first,) = machine.asked[COPY]
    machine.dies(instance_of(machine, "f0"))
    assert machine.asked[COPY] == [first, first + 1]
    machine.disbelieves([ev.BackboneLoaded(COPY, first), ev.BackboneFailed(COPY, first, "gone")])
    machine.settle()
    assert list(machine.answers.values()) == ["ok"]


def test_one_that_keeps_a_cancelled_request_is_ended_and_others_are_served() -> None:
    machine = prefilling("f0", memory=150)
    instance = instance_of(machine, "f0")
    machine.prefills(instance)
    beside = machine.arrive("f0")
    machine.prefills(instance)
    waiting, next_door = machine.arrive("f0", 10, 10), machine.arrive("f1")
    assert machine.running(instance) >= {1, beside}
    machine.cancel(1)
    (timer,) = [t for t in machine.timers if isinstance(t, Release)]
    assert machine.timers[timer] == machine.now + GRACE_NS
    machine.fires(timer)
    assert machine.answers[beside] == "failed"
    assert machine.stopping == {instance}
    assert machine.controller.state.instances[instance].running_kv_bytes == 0
    machine.settle()
    assert machine.answers[waiting] == machine.answers[next_door] == "ok"


def test_one_that_let_go_in_time_is_left_alone() -> None:
    machine = prefilling("f0")
    instance = instance_of(machine, "f0")
    machine.prefills(instance)
    machine.cancel(1)
    machine.lets_go(1)
    machine.arrive("f0")
    (timer,) = [t for t in machine.timers if isinstance(t, Release)]
    machine.fires(timer)
    assert not machine.stopping
    machine.settle()
    assert machine.answers == {1: "cancelled", 2: "ok"}


def test_a_request_that_is_cancelled_twice_has_one_deadline() -> None:
    machine = prefilling("f0")
    assert len(machine.post(ev.RequestCancelled(1))) == 2
    machine.now += 10
    assert machine.post(ev.RequestCancelled(1)) == []


def test_letting_go_of_a_request_does_not_end_the_prefill_of_its_batch() -> None:
    """Its instance reports the cancellation and never the end of the prefill: the batch would count
    as in its prefill on the device, and delay others."""
    machine = prefilling("f0")
    instance = instance_of(machine, "f0")
    machine.cancel(1)
    machine.lets_go(1)
    assert not machine.controller.state.instances[instance].idle
    (timer,) = [t for t in machine.timers if isinstance(t, Release)]
    machine.fires(timer)
    assert machine.stopping == {instance}
    assert machine.controller.state.devices["cpu:0"].prefilling == 0
    assert machine.controller.state.instances[instance].running_kv_bytes == 0


def test_what_ran_on_one_that_was_told_to_stop_is_answered() -> None:
    """The process that owns a copy dies, and the instances that map it are told to stop."""
    machine = prefilling("f0")
    instance, handle = instance_of(machine, "f0"), machine.controller.handle
    machine.cancel(1)
    (timer,) = [t for t in machine.timers if isinstance(t, Release)]
    handle(ev.BackboneFailed(COPY, machine.asked[COPY][-1], "its keeper died"), GRACE_NS)
    assert handle(ev.TimerFired(timer), GRACE_NS) == [], "it is already stopping"
    actions = handle(ev.InstanceStopped(instance), GRACE_NS)
    assert [a.request for a in actions if isinstance(a, act.FailRequest)] == [1]
    assert not machine.controller.state.requests
    assert machine.controller.state.devices["cpu:0"].prefilling == 0


def test_one_that_is_ended_gets_no_batch_any_more() -> None:
    machine = prefilling("f0")
    instance = instance_of(machine, "f0")
    machine.arrive("f0")
    machine.cancel(1)
    (timer,) = [t for t in machine.timers if isinstance(t, Release)]
    actions = machine.controller.handle(ev.TimerFired(timer), machine.now + GRACE_NS)
    assert act.StopInstance(instance) in actions
    assert not [each for each in actions if isinstance(each, act.RunBatch)]
    device = machine.controller.state.devices["cpu:0"]
    assert instance not in device.waiting


@pytest.mark.parametrize("event", ["finished", "timer"])
def test_one_that_lost_its_backbone_gets_no_batch_any_more(event: str) -> None:
    """Requests that wait go to its successor instead of failing with it."""
    machine = Machine(cluster(), SHARING)
    machine.arrive("f0")
    machine.settle()
    (instance,) = machine.processes
    for _ in range(8):
        machine.arrive("f0")
    machine.prefills(instance)
    (running,) = machine.processes[instance].decoding
    handle, at_ns = machine.controller.handle, machine.now + 5_000
    handle(ev.BackboneFailed(COPY, machine.asked[COPY][-1], "its keeper died"), machine.now)
    assert not machine.controller.state.devices["cpu:0"].waiting
    follows = {"finished": ev.RequestFinished(instance, running), "timer": ev.TimerFired("cpu:0")}
    assert not [a for a in handle(follows[event], at_ns) if isinstance(a, act.RunBatch)]
    failed = [a for a in handle(ev.InstanceStopped(instance), at_ns) if type(a) is act.FailRequest]
    assert len(failed) == (event == "timer"), "only what it still ran"
    assert len(machine.controller.state.queue("f0")) == 7
