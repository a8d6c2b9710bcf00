"""Scripts of calls, cancellations, failures and time for a controller. After any script, no request
may wait forever and every function must answer again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.offloading import NoOffloading
from systems.serverless.core.policies.preloading import NoPreloading
from systems.serverless.core.policies.sharing import PrivatePerInstance

from .machine import EVERY, SHARING, Machine, cluster

ALL: dict[str, PolicySet] = {
    **EVERY,
    "no-sharing": replace(SHARING, sharing=PrivatePerInstance),
    "no-preloading": replace(SHARING, preloading=NoPreloading),
    "no-offloading": replace(SHARING, offloading=NoOffloading),
    "no-adaptive-batching": replace(SHARING, batching=FirstComeFirstServed),
}
"""The policy sets of the other tests, and the ablations."""

Step = tuple[str, int]
"""A step and its number. ``call``: the index of the function; ``leave``: of the request whose
client disconnects; ``wait``: nanoseconds. Otherwise an index modulo the number of candidates: a
requested action is done (``do``), an instance dies (``die``), a backbone fails to load (``fail``),
a host leaves (``part``). ``join`` brings back all hosts that left."""

_KINDS = {
    "call": (30, 3),
    "leave": (10, 20),
    "do": (120, 3),
    "wait": (20, 2000),
    "die": (2, 5),
    "fail": (1, 2),
    "part": (1, 2),
    "join": (1, 0),
}
"""By kind: its relative frequency, and the largest number it takes."""


@dataclass(frozen=True)
class Script:
    """Four functions over two backbones, ``memory`` bytes per device, and the steps."""

    bundle: str
    memory: int
    steps: tuple[Step, ...]
    devices: int = 1
    card: bool = False
    apart: bool = False
    shared: bool = False
    """The functions of a backbone share instances, of two places: 5 bytes more of memory."""


def random_script(seed: int) -> Script:
    """Most devices have memory for one backbone only, so that functions wait for it."""
    draw = random.Random(seed)
    kinds, weights = list(_KINDS), [weight for weight, _ in _KINDS.values()]
    drawn = draw.choices(kinds, weights, k=draw.randint(5, 80))
    return Script(
        bundle=draw.choice(sorted(ALL)),
        memory=draw.randint(140, 260),
        steps=tuple((kind, draw.randint(0, _KINDS[kind][1])) for kind in drawn),
        devices=draw.choice([1, 1, 2, 3]),
        card=draw.random() < 0.5,
        apart=draw.random() < 0.5,
    )


def play(script: Script) -> Machine:
    """Run ``script``; return its machine, with actions that are not done yet."""
    deployed = cluster(
        backbones=2,
        devices=script.devices,
        memory=script.memory + 5 * script.shared,
        apart=script.apart,
        card=script.card,
        shared=script.shared,
    )
    machine = Machine(deployed, ALL[script.bundle])
    for step in script.steps:
        take(machine, step)
    return machine


def take(machine: Machine, step: Step) -> None:
    """Apply ``step``."""
    kind, number = step
    _DO[kind](machine, number)


def _call(machine: Machine, function: int) -> None:
    machine.arrive(f"f{function}")


def _leave(machine: Machine, request: int) -> None:
    if 0 < request <= machine.arrived and request not in machine.answers:
        machine.cancel(request)


def _do(machine: Machine, which: int) -> None:
    asked = list(machine.outstanding())
    if asked:
        asked[which % len(asked)]()


def _die(machine: Machine, which: int) -> None:
    alive = list(machine.processes)
    if alive:
        machine.dies(alive[which % len(alive)])


def _fail(machine: Machine, which: int) -> None:
    loading = [copy for copy, state in machine.copies.items() if state == "loading"]
    if loading:
        machine.backbone_fails(loading[which % len(loading)])


def _part(machine: Machine, which: int) -> None:
    there = sorted({device.host for device in machine.cluster.devices.values()} - machine.left)
    if there:
        machine.host_leaves(there[which % len(there)])


def _join(machine: Machine, which: int = 0) -> None:
    for host in sorted(machine.left):
        machine.host_joins(host)


def pass_time(machine: Machine, duration_ns: int) -> None:
    """Fire the timers that are due within ``duration_ns``; do no action meanwhile."""
    end_ns = machine.now + duration_ns
    while machine.timers:
        timer = min(machine.timers, key=machine.timers.__getitem__)
        if machine.timers[timer] > end_ns:
            break
        machine.fires(timer)
    machine.now = end_ns


_DO: dict[str, Callable[[Machine, int], None]] = {
    "call": _call,
    "leave": _leave,
    "do": _do,
    "wait": pass_time,
    "die": _die,
    "fail": _fail,
    "part": _part,
    "join": _join,
}


def quiesce(machine: Machine) -> None:
    """Do all actions and fire all timers until none is left."""
    machine.settle()
    for _ in range(400):
        if not machine.timers:
            return
        machine.fires(min(machine.timers, key=machine.timers.__getitem__))
        machine.settle()
    raise AssertionError("its timers never end")


def check_nobody_waits(script: Script) -> None:
    """Raise ``AssertionError`` if a request still waits after all actions (without offloading:
    after all timers, too), or an instance never ends."""
    machine = play(script)
    _join(machine)
    machine.settle()
    state, offloading = machine.controller.state, machine.controller.policies.offloading
    assert all(state.queue(function) for function in state.blocked_on), "blocked without a request"
    if offloading.name != "none":
        assert not machine.waiting, f"wait for a keep-alive: {machine.waiting}"
    quiesce(machine)
    assert not machine.waiting, f"wait forever: {machine.waiting}"
    assert not machine.processes, f"never end: {list(machine.processes)}"


def check_all_answer_again(script: Script) -> None:
    """Raise ``AssertionError`` if a function does not answer after all waiting requests were
    cancelled."""
    machine = play(script)
    _join(machine)
    machine.settle()
    for request in list(machine.waiting):
        machine.cancel(request)
    asked = [machine.arrive(function) for function in machine.cluster.functions]
    quiesce(machine)
    silent = [request for request in asked if machine.answers.get(request) != "ok"]
    assert not silent, f"never answered: {silent}"


def check(script: Script) -> None:
    """Run both checks."""
    check_nobody_waits(script)
    check_all_answer_again(script)


def stops(script: Script) -> bool:
    """Return whether ``script`` fails a check."""
    try:
        check(script)
    except AssertionError:
        return True
    return False


def smallest(script: Script) -> Script:
    """Shrink a failing script: remove steps while it still fails."""
    shorter = next((each for each in _shorter(script) if stops(each)), None)
    return script if shorter is None else smallest(shorter)


def _shorter(script: Script) -> Iterator[Script]:
    size = len(script.steps)
    while size := size // 2:
        for start in range(0, len(script.steps), size):
            kept = script.steps[:start] + script.steps[start + size :]
            yield replace(script, steps=kept)
