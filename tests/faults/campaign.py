"""Fault injection: ``python -m tests.faults.campaign --moments N --seed S --out FILE``.

Injects one fault at each of N seeded moments. Writes FILE (JSON) after each moment, so the next
call continues an interrupted campaign. Exits with status 1 if a moment had problems.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import clients, clocks, platform_scene, process_tree, run_scene, shortages, signals, stage
from .fault import Fault, Seen

_IN_NAMESPACE = "SLBENCH_CAMPAIGN_MOUNTS"
_TRIES = 5
_SHARE_STAGE = 12
"""Number of moments after which the platform is stopped and checked for leftovers."""


@dataclass(frozen=True)
class Player:
    """A fault and the function that injects it; ``play`` returns None if the fault missed."""

    name: str
    limit_s: float
    play: Callable[[int, np.random.Generator], Seen | None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("campaign.json"))
    parser.add_argument("--nodes", action="store_true", help="of a cluster's, on Ray, instead")
    parser.add_argument("--only", nargs="*", default=[], help="patterns of faults' names")
    options = parser.parse_args()
    mounts = _own_mounts()
    process_tree.adopt_orphans()
    # Ray creates its sockets deep below this folder, and the length of a socket path is limited.
    name, parent = ("c-", "/tmp") if options.nodes else ("campaign-", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix=name, dir=parent, ignore_cleanup_errors=True) as folder:
        platform_stage = stage.Stage(stage.temporary(Path(folder) / "t"))
        players = (
            _of_nodes(mounts, platform_stage)
            if options.nodes
            else _players(Path(folder), mounts, options.only, platform_stage)
        )
        record = _resumed(options.out, options.seed)
        campaign(players, options.moments, options.seed, platform_stage, record, options.out)
    return 1 if any(seen["problems"] for seen in record["moments"]) else 0


def _own_mounts() -> bool:
    """Return whether this process has a mount namespace of its own. As root, restart the process
    in a new one first."""
    if _IN_NAMESPACE not in os.environ and os.geteuid() == 0:
        _restart_in_a_namespace()
    return _IN_NAMESPACE in os.environ


def _restart_in_a_namespace() -> None:
    environment = {**os.environ, _IN_NAMESPACE: "yes"}
    command = ["unshare", "--mount", sys.executable, "-m", "tests.faults.campaign", *sys.argv[1:]]
    os.execvpe(command[0], command, environment)


def _players(
    folder: Path, mounts: bool, words: list[str], platform_stage: stage.Stage
) -> list[Player]:
    """Return the faults of one turn of the campaign: every fault once."""
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
    return [
        each for each in players if not words or any(re.search(word, each.name) for word in words)
    ]


def _of_nodes(mounts: bool, platform_stage: stage.Stage) -> list[Player]:
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


def campaign(
    players: list[Player],
    moments: int,
    seed: int,
    platform_stage: stage.Stage,
    record: dict[str, Any],
    out: Path,
) -> None:
    """Play the faults in turns; each turn has its own random order."""
    for moment in range(len(record["moments"]), moments):
        random = np.random.default_rng([seed, moment])
        player = _order(players, seed, moment // len(players))[moment % len(players)]
        started = time.monotonic()
        seen = _until_it_hits(player, moment, random)
        last = moment == moments - 1 or moment % _SHARE_STAGE == _SHARE_STAGE - 1
        left = _take_down(platform_stage) if last or seen.problems else ()
        seen = replace(seen, problems=(*seen.problems, *left))
        record["moments"].append(asdict(seen))
        record["load_average"].append(round(os.getloadavg()[0], 1))
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        _say(seen, moments, time.monotonic() - started)


def _until_it_hits(player: Player, moment: int, random: np.random.Generator) -> Seen:
    for _ in range(_TRIES):
        seen = player.play(moment, random)
        if seen is not None:
            return seen
    missed = f"missed {_TRIES} times"
    return Seen(moment, player.name, 0, {}, 0, None, (missed,), player.limit_s)


def _take_down(platform_stage: stage.Stage) -> tuple[str, ...]:
    platform_stage.down()
    left = process_tree.leftovers(
        platform_stage.folder, platform_stage.ports, platform_scene.GONE_S
    )
    if left:
        process_tree.end_all(platform_stage.folder)
    return tuple(left)


def _order(players: list[Player], seed: int, turn: int) -> list[Player]:
    drawn = np.random.default_rng([seed, turn, 1]).permutation(len(players))
    return [players[index] for index in drawn]


def _resumed(path: Path, seed: int) -> dict[str, Any]:
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["seed"] == seed:
            return record
    return {
        "seed": seed,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [],
        "machine": {"cores": len(os.sched_getaffinity(0)), "kernel": platform.release()},
        "request_timeout_s": stage.REQUEST_TIMEOUT_S,
        "moments": [],
    }


def _say(seen: Seen, moments: int, took_s: float) -> None:
    verdict = "; ".join(seen.problems) or "well"
    recovered = "–" if seen.recovered_s is None else f"{seen.recovered_s:.1f} s"
    print(
        f"[{seen.moment + 1}/{moments}] {seen.fault}: {dict(seen.answers)},"
        f" recovered {recovered}: {verdict} ({took_s:.0f} s)",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
