"""No device stalls: after any script, no request waits once all requested actions are done, and
every function answers its next call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .liveness import ALL, Script, check, random_script, smallest, stops
from .machine import POOL, SHARING, Machine, cluster

SCRIPTS = 150
"""The number of scripts per policy set; the defects of the examples were found with this many."""

DO = (("do", 0),)
KEPT = (("wait", 1000),)
"""The keep-alive."""

FOUND = {
    "the first needs the weights of a sleeper whose callers wait behind it": Script(
        "sharing", 161, (("call", 2),)
    ),
    "the same where nothing gives way before its keep-alive": Script(
        "no-offloading", 204, (("call", 0), *DO * 8, ("call", 1), *KEPT, ("call", 0))
    ),
    "the same beside a second device": Script(
        "no-offloading", 144, (("call", 1), *DO * 8, ("call", 3), *KEPT), devices=2
    ),
    "the same where no instance is pre-loaded": Script(
        "no-preloading", 148, (("call", 2), ("call", 0), ("call", 3)), devices=2
    ),
    "the same on a card": Script("pool", 171, (("call", 1), ("call", 2)), card=True),
    "an idle instance's last callers were served on another device": Script(
        "pool",
        140,
        (
            ("call", 1),
            ("wait", 1737),
            *DO,
            ("call", 2),
            ("call", 3),
            ("wait", 987),
            ("do", 1),
            ("call", 0),
        ),
        devices=3,
        apart=True,
    ),
    "an idle instance whose keep-alive ended while callers waited is never ended": Script(
        "pool",
        168,
        (
            ("call", 2),
            ("call", 2),
            *DO * 4,
            ("wait", 1029),
            *DO * 3,
            ("call", 0),
            *DO * 6,
            ("call", 2),
            *DO,
            ("wait", 1352),
            *DO * 2,
            ("call", 2),
            ("do", 3),
            *KEPT,
        ),
        devices=2,
        apart=True,
    ),
    "a sleeper that was being pre-loaded could give way when it was done": Script(
        "no-sharing",
        199,
        (("call", 3), *DO * 7, ("call", 0), *DO * 7, *KEPT, *DO, *KEPT, ("call", 0)),
    ),
}


@pytest.mark.parametrize("script", FOUND.values(), ids=FOUND)
def test_what_was_found_once_stays_mended(script: Script) -> None:
    check(script)


@pytest.mark.parametrize("bundle", sorted(ALL))
def test_no_random_script_stops_a_device(bundle: str) -> None:
    for seed in range(SCRIPTS):
        script = replace(random_script(seed), bundle=bundle)
        assert not stops(script), smallest(script)


@pytest.mark.parametrize("bundle", sorted(ALL))
def test_no_random_script_stops_a_device_of_shared_instances(bundle: str) -> None:
    for seed in range(SCRIPTS // 3):
        script = replace(random_script(seed), bundle=bundle, shared=True)
        assert not stops(script), smallest(script)


def test_the_last_caller_who_gives_up_lets_the_next_in_line_go_on() -> None:
    """f1 is first in the queue and waits for f0's keep-alive; f2 could use f0's backbone."""
    machine = Machine(cluster(functions=3, backbones=2, memory=200), ALL["no-offloading"])
    machine.arrive("f0")
    machine.settle()
    first, behind = machine.arrive("f1"), machine.arrive("f2")
    machine.settle()
    assert set(machine.waiting) == {first, behind}
    machine.cancel(first)
    machine.settle()
    assert machine.answers[behind] == "ok", "long before any keep-alive ends"
    assert machine.now == 0


def test_a_failed_start_takes_its_function_out_of_every_line() -> None:
    """A second instance starts beside one that holds a batch, and dies. All waiting requests fail,
    and the first instance has none left to run."""
    deployed = cluster(functions=1, devices=2)
    once = replace(deployed, settings=replace(deployed.settings, start_attempts=1))
    machine = Machine(once, POOL)
    machine.arrive("f0")
    machine.settle()
    held = machine.arrive("f0")
    machine.now += 900
    beside = machine.arrive("f0")
    machine.dies(max(machine.processes))
    assert machine.answers == {1: "ok", held: "failed", beside: "failed"}
    machine.fires("cpu:0")
    again = machine.arrive("f0")
    machine.settle()
    assert machine.answers[again] == "ok"


def test_a_sleeper_that_is_the_next_to_be_woken_keeps_what_it_has() -> None:
    """It would have to load again at once what it released at the end of its keep-alive."""
    machine = Machine(cluster(functions=2, memory=160), SHARING)
    machine.arrive("f0")
    machine.settle()
    (sleeper,) = machine.processes
    machine.fires(sleeper)
    machine.settle()
    assert machine.processes[sleeper].in_place == ["libraries", "backbone", "adapter"]
    machine.arrive("f1", 10, 10)
    while not any(process.fresh for process in machine.processes.values()):
        assert machine.step()
    request = machine.arrive("f0")
    assert request in machine.waiting, "f1's KV cache takes the bytes that f0 needs"
    machine.fires(sleeper)
    machine.prefills(max(machine.processes))
    machine.arrive("f1", 10, 10)
    assert machine.offloads == {}, "neither for its keep-alive nor for a batch that grows"
    assert sleeper in machine.timers, "its timer is set again"
    machine.settle()
    assert machine.answers[request] == "ok"
