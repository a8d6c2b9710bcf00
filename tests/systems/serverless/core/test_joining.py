"""When waiting requests join those that run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.serverless.core.estimates import SlidingWindow
from systems.serverless.core.instance import Instance
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import able
from systems.serverless.core.policies.joining import fitting, pays_ns
from systems.serverless.core.waiting import Request

from .machine import SHARING, Machine, cluster

FIXED_NS = 90
"""T(1) = 100 ns, T(2) = 110 ns."""
LATE_NS = 5_000
"""Beyond the SLO, 2,500 ns."""


def decoding(
    arrived: int, took_ns: int, policies: PolicySet = SHARING, memory: int = 1000
) -> tuple[Machine, Instance]:
    """Return a machine with an instance that decodes up to four of the requests that arrived before
    it was ready, after a prefill of ``took_ns``; the others wait."""
    machine = Machine(cluster(memory=memory), policies)
    machine.now = 1_000
    for _ in range(arrived):
        machine.arrive("f0", 5, 5)
    while not any(p.fresh for p in machine.processes.values()):
        assert machine.step()
    (instance,) = machine.controller.state.instances.values()
    machine.now += took_ns
    machine.prefills(instance.id)
    return machine, instance


def test_late_requests_join_together_instead_of_one_for_each_that_ends() -> None:
    machine, instance = decoding(12, LATE_NS)
    joined: list[int] = []
    for _ in range(3):
        machine.now += 40
        waiting = len(machine.waiting)
        machine.finishes(instance.id)
        joined.append(waiting - len(machine.waiting))
    assert joined == [0, 0, 3], "two would have waited 160 ns for the 180 ns that two others lose"


def test_a_late_request_joins_when_it_has_waited_for_what_the_running_ones_lose() -> None:
    machine, instance = decoding(5, LATE_NS)
    (late,) = machine.waiting
    machine.finishes(instance.id)
    assert late in machine.waiting
    assert machine.timers["cpu:0"] == machine.now + 3 * FIXED_NS
    machine.fires("cpu:0")
    assert late not in machine.waiting


bursts = st.tuples(st.sampled_from(["f0", "f1", "f2", "f3"]), st.integers(1, 3))


@given(st.lists(bursts, max_size=12), st.sampled_from([50, LATE_NS]))
def test_no_request_waits_forever_for_running_ones_that_never_end(
    load: list[tuple[str, int]], prefill_ns: int
) -> None:
    """Other instances take batches meanwhile, each of which delays more that runs."""
    machine = Machine(cluster(), SHARING)
    state = machine.controller.state
    for function, requests in load:
        for _ in range(requests):
            machine.arrive(function)
        _do_all_but_finish(machine, prefill_ns)
    for _ in range(2 * len(load)):
        if "cpu:0" in machine.timers:
            machine.fires("cpu:0")
        _do_all_but_finish(machine, prefill_ns)
    assert not list(able(state.devices["cpu:0"], state)), "it has room and memory"


def _do_all_but_finish(machine: Machine, prefill_ns: int) -> None:
    """Let every prefill take ``prefill_ns`` and no request end."""
    while todo := [each for each in machine.outstanding() if not _finishes(each, machine)]:
        if any(p.batch is not None for p in machine.processes.values()):
            machine.now += prefill_ns
        todo[0]()


def _finishes(action: Callable[[], None], machine: Machine) -> bool:
    return isinstance(action, partial) and action.func == machine.finishes


@pytest.mark.parametrize(("arrivals", "waits"), [(5, False), (6, True)])
def test_a_request_waits_for_others_if_they_are_likely_to_come_in_time(
    arrivals: int, waits: bool
) -> None:
    """Two requests lose 90 ns each, so 2λC is 1.8 with five arrivals in the last microsecond and
    2.16 with six; a batch of one is as good as one of two up to 2."""
    machine, instance = decoding(2, 2_000, replace(SHARING, new_rate=lambda: SlidingWindow(1_000)))
    for _ in range(arrivals):
        machine.controller.state.estimates("f0").rate.observe(machine.now)
    batch = [waiting(machine, 5)]
    state = machine.controller.state
    pays = pays_ns(batch, instance, state, machine.now, grows=True)
    assert pays == machine.now + (2 * FIXED_NS if waits else 0)
    full = pays_ns(batch, instance, state, machine.now, grows=False)
    assert full == machine.now + 2 * FIXED_NS, "only the end of a running request makes it larger"


def test_those_of_other_instances_lose_the_share_of_the_device() -> None:
    machine, instance = decoding(2, 2_000)
    machine.arrive("f1")
    _do_all_but_finish(machine, 50)
    state = machine.controller.state
    pays = pays_ns([waiting(machine, 5)], instance, state, machine.now, grows=False)
    assert pays - machine.now == (2 * 2 + 1) * FIXED_NS


def test_a_batch_is_as_large_as_there_is_memory_for() -> None:
    machine, instance = decoding(1, 1, memory=160)
    device = machine.controller.state.devices["cpu:0"]
    assert device.memory.free == 20, "beside the 20 for a request of the longest context"
    requests = [waiting(machine, 5) for _ in range(9)]
    assert fitting(requests, instance, device) == 3, "one of 10 runs in what is held"
    assert fitting([waiting(machine, 100)], instance, device) == 1, "it may evict what rests"


def waiting(machine: Machine, tokens: int) -> Request:
    """Return a request of twice this many tokens that arrives now."""
    return Request(-1, "f0", "f0", 2 * tokens, machine.now, slo_ns=2_500)
