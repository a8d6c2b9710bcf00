"""While one instance of a device computes prompts, the others decode no further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev

from .machine import PROMPTS_FIRST, SHARING, Machine, cluster


def two_decode(machine: Machine) -> Sequence[int]:
    """Have f0 and f1 decode a request each; return their instances."""
    for function in ("f0", "f1", "f2"):
        machine.arrive(function)
        machine.settle()
    for function in ("f0", "f1"):
        machine.prefills(of(act.RunBatch, call(machine, function))[0])
    found = [number for number, process in machine.processes.items() if process.decoding]
    assert len(found) == 2
    machine.now += 1
    return found


def call(machine: Machine, function: str) -> list[act.Action]:
    """Return what a request of ``function`` sets off."""
    machine.arrived += 1
    number = machine.arrived
    machine.waiting[number] = machine.of[number] = function
    return machine.post(ev.RequestArrived(number, function, 5, 5))


def of(kind: type, actions: Sequence[act.Action]) -> list[int]:
    return [each.instance for each in actions if isinstance(each, kind)]  # type: ignore[union-attr]


def test_the_others_pause_until_the_prompts_are_computed() -> None:
    machine = Machine(cluster(functions=3, memory=2000), PROMPTS_FIRST)
    decoding = two_decode(machine)
    told = call(machine, "f2")
    (prefilling,) = of(act.RunBatch, told)
    assert of(act.PauseDecoding, told) == list(decoding)
    (most_ns,) = {each.most_ns for each in told if isinstance(each, act.PauseDecoding)}
    prefill = machine.controller.state.instances[prefilling].prefilling
    assert prefill is not None
    assert most_ns == round(prefill.expected_ns), "as long as among all three"
    process = machine.processes[prefilling]
    told = machine.post(ev.BatchPrefilled(prefilling, process.batch or 0, 100))
    assert of(act.ResumeDecoding, told) == list(decoding)


def test_one_that_has_prefilled_waits_for_those_that_have_not() -> None:
    machine = Machine(cluster(functions=3, memory=2000), PROMPTS_FIRST)
    first, second = two_decode(machine)
    third = of(act.RunBatch, call(machine, "f2"))[0]
    (joined,) = of(act.RunBatch, call(machine, "f0"))
    assert joined == first, "paused, and yet it computes prompts"
    machine.prefills(third)
    assert machine.processes[third].paused
    assert machine.processes[first].paused
    machine.prefills(first)
    assert not any(machine.processes[each].paused for each in (first, second, third))
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_those_that_wait_go_on_if_the_one_with_the_prompts_dies() -> None:
    machine = Machine(cluster(functions=3, memory=2000), PROMPTS_FIRST)
    decoding = two_decode(machine)
    (prefilling,) = of(act.RunBatch, call(machine, "f2"))
    machine.dies(prefilling)
    assert not any(machine.processes[each].paused for each in decoding)


def test_nothing_pauses_without_the_option_or_where_processes_compute_at_once() -> None:
    at_once = cluster(functions=3, memory=2000)
    device = replace(at_once.devices["cpu:0"], slots=2)
    at_once = replace(at_once, devices={"cpu:0": device})
    for spec, policies in ((cluster(functions=3, memory=2000), SHARING), (at_once, PROMPTS_FIRST)):
        machine = Machine(spec, policies)
        two_decode(machine)
        assert of(act.PauseDecoding, call(machine, "f2")) == []
