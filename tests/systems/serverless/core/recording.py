"""Random scripts of events, and the decisions of a controller about them, to compare versions.

``python -m tests.systems.serverless.core.recording`` writes ``recorded_decisions.json`` again; do
that only where a change of decisions is intended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from random import Random
from typing import Any

from systems.serverless.core.cluster_spec import ClusterSpec
from systems.serverless.core.policies import PolicySet

from .machine import BUNDLES, Machine, cluster

PATH = Path(__file__).with_name("recorded_decisions.json")
SCRIPTS = 300
_EVENTS = 250


class Recorder(Machine):
    """A machine that keeps every event with the actions that followed, as text."""

    def __init__(self, cluster: ClusterSpec, policies: PolicySet) -> None:
        super().__init__(cluster, policies)
        self.lines: list[str] = []

    def post(self, event: Any) -> list[Any]:
        actions = super().post(event)
        told = [event, *actions]
        self.lines.append(
            f"{self.now} {[(type(each).__name__, *map(str, astuple(each))) for each in told]}"
        )
        return actions


def digest(seed: int) -> str:
    """Return a checksum of what the script ``seed`` lets a controller decide."""
    return hashlib.sha256("\n".join(play(seed)).encode()).hexdigest()[:16]


def play(seed: int) -> list[str]:
    """Play the script ``seed``; return its events and actions, a line each."""
    random = Random(seed)
    machine = _machine(random)
    move(machine, random)
    return machine.lines


def move(machine: Recorder, random: Random) -> None:
    """Let random events happen to ``machine``, and then all that is outstanding."""
    for _ in range(_EVENTS):
        random.choices(_MOVES, _WEIGHTS)[0](machine, random)
    for host in sorted(machine.left):
        machine.host_joins(host)
    machine.settle()


def _machine(random: Random) -> Recorder:
    deployed = cluster(
        functions=random.randint(1, 6),
        backbones=random.randint(1, 2),
        devices=random.randint(1, 3),
        memory=random.randint(140, 420),
        apart=random.random() < 0.5,
        card=random.random() < 0.5,
    )
    return Recorder(deployed, BUNDLES[random.choice(sorted(BUNDLES))])


def _one_of(random: Random, among: Sequence[Any], do: Callable[[Any], None]) -> None:
    if among:
        do(random.choice(sorted(among, key=str)))


def _arrive(machine: Recorder, random: Random) -> None:
    tokens = random.randint(1, 10)
    machine.arrive(random.choice(sorted(machine.cluster.functions)), tokens, tokens)


def _steps(machine: Recorder, random: Random) -> None:
    for _ in range(random.randint(1, 6)):
        machine.step()


def _time_passes(machine: Recorder, random: Random) -> None:
    until = machine.now + random.randint(1, 1500)
    for timer, at_ns in sorted(machine.timers.items(), key=lambda item: (item[1], str(item[0]))):
        if at_ns <= until and timer in machine.timers:
            machine.fires(timer)
    machine.now = max(machine.now, until)


def _cancel(machine: Recorder, random: Random) -> None:
    running = [r for p in machine.processes.values() for r in p.fresh | p.decoding]
    _one_of(random, [*machine.waiting, *running], machine.cancel)


def _release(machine: Recorder, random: Random) -> None:
    running = [r for i in machine.busy() for r in machine.running(i)]
    _one_of(random, [r for r in running if r in machine.cancelling], machine.lets_go)


def _die(machine: Recorder, random: Random) -> None:
    _one_of(random, list(machine.processes), machine.dies)


def _template_dies(machine: Recorder, random: Random) -> None:
    _one_of(random, list(machine.templates), machine.template_dies)


def _leave(machine: Recorder, random: Random) -> None:
    hosts = {device.host for device in machine.cluster.devices.values()} - machine.left
    _one_of(random, sorted(hosts), machine.host_leaves)


def _join(machine: Recorder, random: Random) -> None:
    _one_of(random, sorted(machine.left), machine.host_joins)


def _backbone_fails(machine: Recorder, random: Random) -> None:
    loading = [copy for copy, state in machine.copies.items() if state == "loading"]
    _one_of(random, loading, machine.backbone_fails)


_MOVES = (
    _arrive,
    _steps,
    _time_passes,
    _cancel,
    _release,
    _die,
    _template_dies,
    _leave,
    _join,
    _backbone_fails,
)
_WEIGHTS = (30, 45, 18, 2, 1, 1, 0.3, 0.4, 0.8, 0.4)


def main() -> None:
    recorded = [digest(seed) for seed in range(SCRIPTS)]
    PATH.write_text(json.dumps(recorded, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
