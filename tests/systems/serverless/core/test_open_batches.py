"""Where functions share an instance, a batch that waits for a decode step takes what comes until it
begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import FirstComeFirstServed

from .machine import SHARING, Machine, cluster


def decoding(*, shared: bool = True, policies: PolicySet = SHARING) -> tuple[Machine, int]:
    """Return a machine whose only instance decodes a request of f0 and has the adapter of f1."""
    machine = Machine(cluster(functions=2, shared=shared), policies)
    machine.arrive("f1")
    machine.settle()
    machine.arrive("f0")
    while not any(process.decoding for process in machine.processes.values()):
        machine.step()
    (instance,) = (i for i, process in machine.processes.items() if process.decoding)
    machine.now += 1
    return machine, instance


def sent(machine: Machine, function: str) -> list[act.RunBatch]:
    """Return the batches that a request of ``function`` sets off."""
    machine.arrived += 1
    number = machine.arrived
    machine.waiting[number] = machine.of[number] = function
    told = machine.post(ev.RequestArrived(number, function, 5, 5))
    return [each for each in told if isinstance(each, act.RunBatch)]


def test_what_comes_during_the_decode_step_is_more_of_the_batch() -> None:
    machine, instance = decoding()
    (first,), (second,) = sent(machine, "f1"), sent(machine, "f0")
    assert (second.instance, second.batch) == (instance, first.batch)
    prefill = machine.controller.state.instances[instance].prefilling
    assert prefill is not None
    assert (prefill.size, prefill.open) == (2, True)
    machine.prefills(instance)
    machine.settle()
    assert set(machine.answers.values()) == {"ok"}


def test_what_comes_after_it_has_begun_waits_for_the_next_batch() -> None:
    machine, instance = decoding()
    (first,) = sent(machine, "f1")
    machine.begins(instance)
    assert sent(machine, "f0") == []
    machine.prefills(instance)
    process = machine.processes[instance]
    assert process.batch == first.batch + 1


def test_a_batch_in_answer_to_another_begins_at_once() -> None:
    machine, instance = decoding()
    sent(machine, "f1")
    machine.begins(instance)
    sent(machine, "f0")
    machine.prefills(instance)
    prefill = machine.controller.state.instances[instance].prefilling
    assert prefill is not None
    assert not prefill.open


def test_what_comes_too_late_for_its_batch_is_answered_all_the_same() -> None:
    """The instance began the batch before the controller knew, and says twice that it is done."""
    machine, instance = decoding()
    (first,), (late,) = sent(machine, "f1"), sent(machine, "f0")
    machine.prefills(instance)
    assert machine.post(ev.BatchPrefilled(instance, late.batch, 1)) == []
    machine.settle()
    assert {machine.answers[request] for request in (*first.requests, *late.requests)} == {"ok"}


@pytest.mark.parametrize(
    ("shared", "policies"),
    [(False, SHARING), (True, replace(SHARING, batching=FirstComeFirstServed))],
    ids=("a function's own", "no batch is back to back"),
)
def test_elsewhere_it_waits_for_the_next_batch(shared: bool, policies: PolicySet) -> None:
    machine, _ = decoding(shared=shared, policies=policies)
    assert len(sent(machine, "f0")) == 1
    assert sent(machine, "f0") == []
