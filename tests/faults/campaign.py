"""Fault injection: ``python -m tests.faults.campaign --moments N --seed S --out FILE``;
with ``--device cuda``, the faults of a card.

Injects one fault at each of N seeded moments. Writes FILE (JSON) after each moment, so the next
call continues an interrupted campaign. Exits with status 1 if a moment had problems.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.manifest import git

from . import device_memory, platform_scene, players, process_tree, stage
from .fault import Seen
from .players import Player
from .target import Target

_IN_NAMESPACE = "SLBENCH_CAMPAIGN_MOUNTS"
_TRIES = 5
_SHARE_STAGE = 12
"""Number of moments after which the platform is stopped and checked for leftovers."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("campaign.json"))
    parser.add_argument("--nodes", action="store_true", help="of a cluster's, on Ray, instead")
    parser.add_argument("--only", nargs="*", default=[], help="patterns of faults' names")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="the faults of a device of this kind instead"
    )
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after that")
    options = parser.parse_args()
    mounts = _own_mounts()
    process_tree.adopt_orphans()
    # Ray creates its sockets deep below this folder, and the length of a socket path is limited.
    name, parent = ("c-", "/tmp") if options.nodes else ("campaign-", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix=name, dir=parent, ignore_cleanup_errors=True) as folder:
        target = _target(options.device, options.backbone)
        platform_stage = stage.Stage(stage.temporary(Path(folder) / "t"), target)
        chosen = [
            each
            for each in _players(options, Path(folder), mounts, platform_stage)
            if not options.only or any(re.search(word, each.name) for word in options.only)
        ]
        record = _resumed(options.out, options.seed, options.device, target)
        ends = time.monotonic() + options.seconds
        campaign(chosen, options.moments, options.seed, platform_stage, record, options.out, ends)
    return 1 if any(seen["problems"] for seen in record["moments"]) else 0


def _target(kind: str | None, backbone: str) -> Target:
    """Return what to inject into; by a campaign of a device, a warm pool belongs to it."""
    if kind is None:
        return Target(backbone=backbone)
    return Target(kind, backbone, options={"prewarmed": 1})


def _players(
    options: argparse.Namespace, folder: Path, mounts: bool, platform_stage: stage.Stage
) -> list[Player]:
    """Return the faults of one turn of the campaign: every fault once."""
    if options.nodes:
        return players.of_nodes(mounts, platform_stage)
    if options.device:
        return players.of_device(options.device, mounts, platform_stage)
    return players.of_machine(folder, mounts, platform_stage)


def _own_mounts() -> bool:
    """Return whether this process has a mount namespace of its own. As root, restart the process
    in a new one first, if that is allowed."""
    if _IN_NAMESPACE not in os.environ and os.geteuid() == 0 and _may_unshare():
        _restart_in_a_namespace()
    return _IN_NAMESPACE in os.environ


def _may_unshare() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def _restart_in_a_namespace() -> None:
    environment = {**os.environ, _IN_NAMESPACE: "yes"}
    command = ["unshare", "--mount", sys.executable, "-m", "tests.faults.campaign", *sys.argv[1:]]
    os.execvpe(command[0], command, environment)


def campaign(
    faults: list[Player],
    moments: int,
    seed: int,
    platform_stage: stage.Stage,
    record: dict[str, Any],
    out: Path,
    ends: float,
) -> None:
    """Play the faults in turns; each turn has its own random order. Those of a device keep theirs,
    since every change of the deployment takes a start of the platform."""
    for moment in range(len(record["moments"]), moments):
        random = np.random.default_rng([seed, moment])
        order = faults if record.get("device") else _order(faults, seed, moment // len(faults))
        player = order[moment % len(faults)]
        started = time.monotonic()
        seen = _until_it_hits(player, moment, random)
        over = moment == moments - 1 or time.monotonic() >= ends
        share_ends = over or moment % _SHARE_STAGE == _SHARE_STAGE - 1
        left = _take_down(platform_stage) if share_ends or seen.problems else ()
        seen = replace(seen, problems=(*seen.problems, *left))
        record["moments"].append(asdict(seen))
        record["load_average"].append(round(os.getloadavg()[0], 1))
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        _say(seen, moments, time.monotonic() - started)
        if over:
            break


def _until_it_hits(player: Player, moment: int, random: np.random.Generator) -> Seen:
    """Play a moment. One that raises an error, such as a platform that does not start, is a problem
    of its own and does not end the campaign."""
    problem = f"missed {_TRIES} times"
    try:
        for _ in range(_TRIES):
            if (seen := player.play(moment, random)) is not None:
                return seen
    except Exception as error:
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
    return Seen(moment, player.name, 0, {}, 0, None, (problem,), player.limit_s)


def _take_down(platform_stage: stage.Stage) -> tuple[str, ...]:
    platform_stage.down()
    left = process_tree.leftovers(
        platform_stage.folder,
        platform_stage.ports,
        platform_scene.GONE_S,
        platform_stage.shm_before,
    )
    if left:
        process_tree.end_all(platform_stage.folder)
    left += platform_stage.left
    platform_stage.left.clear()
    return tuple(left)


def _order(faults: list[Player], seed: int, turn: int) -> list[Player]:
    drawn = np.random.default_rng([seed, turn, 1]).permutation(len(faults))
    return [faults[index] for index in drawn]


def _resumed(path: Path, seed: int, device: str | None, target: Target) -> dict[str, Any]:
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["seed"] == seed:
            return record
    return {
        "seed": seed,
        "commit": git(),
        "backbone": target.backbone,
        "device": device,
        "card": device_memory.name(target.device),
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
