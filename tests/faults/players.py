"""The faults of each kind of campaign, and how each of them is played."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import clients, clocks, device_faults, platform_scene, run_scene, shortages, signals, stage
from .fault import Fault, Seen


@dataclass(frozen=True)
class Player:
    """A fault and the function that injects it; ``play`` returns None if the fault missed."""

    name: str
    limit_s: float
    play: Callable[[int, np.random.Generator], Seen | None]


def of_machine(folder: Path, mounts: bool, platform_stage: stage.Stage) -> list[Player]:
    """Return the faults of a platform and of a run on the CPU."""
    faults = [*signals.faults(), *shortages.faults(), *clients.faults()]
    if mounts:
        shortages.mount_small(Path("/dev/shm"), "256k")
        shortages.mount_small(platform_stage.folder, "4m")
        faults += shortages.faults_of_file_systems()
    if clocks.compiler():
        faults += clocks.faults(clocks.WallClock(folder))
    scene = run_scene.RunScene(folder, platform_stage.folder)
    players = _on_platform(faults, platform_stage)
    players += [
        Player(fault.name, fault.recovers_s, partial(_play_run, platform_stage, scene, fault))
        for fault in run_scene.faults()
    ]
    return players


def of_device(kind: str, mounts: bool, platform_stage: stage.Stage) -> list[Player]:
    """Return the faults of a device. An own /dev/shm has no names of other processes."""
    if mounts:
        shortages.mount_small(Path("/dev/shm"), "1g")
        platform_stage.shm_before = frozenset()
    return _on_platform(device_faults.faults(kind), platform_stage)


def of_nodes(mounts: bool, platform_stage: stage.Stage) -> list[Player]:
    """Return the faults of a cluster. If possible, mount an empty /dev/shm that is large enough for
    Ray's object store."""
    if mounts:
        shortages.mount_small(Path("/dev/shm"), "1g")
    return _on_platform(signals.faults_of_nodes(), platform_stage)


def _on_platform(faults: Iterable[Fault], platform_stage: stage.Stage) -> list[Player]:
    return [
        Player(fault.name, fault.recovers_s, partial(platform_scene.play, platform_stage, fault))
        for fault in faults
    ]


def _play_run(
    platform_stage: stage.Stage, scene: run_scene.RunScene, fault: run_scene.RunFault,
    moment: int, random: np.random.Generator,
) -> Seen:  # fmt: skip
    """Stop the platform first: the check for leftovers looks at all descendants."""
    platform_stage.down()
    return scene.play(fault, moment, random)
