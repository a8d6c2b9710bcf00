"""Time a simulated matrix on all cores that is killed and resumed.

    python -m tests.benchmarks.sweep RESULT.json [--seeds 48] [--folder /dev/shm]

The seven systems and three patterns of the evaluation with 48 seeds are 1,008 cells of four hours
each. First and last, one process runs a part of the seeds, which gives the time of a cell (the
shorter of the two, since the first run also warms caches). Then one independent process per core
runs as many seeds each, which gives the limit of the machine: cores share caches, memory and disk.
Between these, one run of all seeds on all cores is killed (SIGKILL) at four tenths and resumed. Its
time includes both starts and the work that the kill lost.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from harness.execution.sweeps import cores
from tests.harness.execution.test_sweeps import manifests

CELLS_A_SEED = 21
KILLED_AT = 0.4
ENDS_S = 10.0


def begin(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness", "run", "evaluation", "--out", str(folder), *more]
    # Libraries use one thread, as in the workers of a sweep.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


def asked(seeds: Sequence[int], workers: int) -> list[str]:
    each = [word for seed in seeds for word in ("--seed", str(seed))]
    return ["--workers", str(workers), *each]


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise SystemExit(f"{' '.join(map(str, process.args))}: status {process.returncode}")  # type: ignore[arg-type]


def killed(folder: Path, at: int, arguments: list[str]) -> tuple[float, dict[Path, int]]:
    """Kill a run after ``at`` cells; return its time (s) and the manifests that it finished."""
    began = time.perf_counter()
    process = begin(folder, *arguments)
    while len(manifests(folder)) < at:
        if process.poll() is not None:
            raise SystemExit("the sweep ended before it could be killed")
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    took = time.perf_counter() - began
    _, left = psutil.wait_procs(family, timeout=ENDS_S)
    if left:
        raise SystemExit(f"{len(left)} processes outlive the run by {ENDS_S:g} s")
    return took, manifests(folder)


def alone(folder: Path, part: int, processes: int) -> float:
    """Run this number of one-process runs at once; return the seconds until all have ended."""
    began = time.perf_counter()
    runs = [
        begin(folder / str(number), *asked(range(number * part, (number + 1) * part), 1))
        for number in range(processes)
    ]
    for run in runs:
        finish(run)
    return time.perf_counter() - began


def measure(folder: Path, seeds: int) -> dict[str, Any]:
    before = os.getloadavg()[0]
    wanted = seeds * CELLS_A_SEED
    part = max(1, seeds // cores())
    first_s = alone(folder / "first", part, 1)
    together_s = alone(folder / "together", part, cores())
    until_s, finished = killed(
        folder / "all", int(KILLED_AT * wanted), asked(range(seeds), cores())
    )
    (run,) = (folder / "all").glob("[!.]*")
    began = time.perf_counter()
    finish(begin(folder / "all", "--resume", str(run)))
    rest_s = time.perf_counter() - began
    found = manifests(folder / "all")
    one_s = [first_s, alone(folder / "last", part, 1)]
    all_s = (until_s + rest_s) * part * cores() * CELLS_A_SEED / wanted
    return {
        "cores": cores(),
        "cells": len(found),
        "cells_wanted": wanted,
        "cells_of_one_process": part * CELLS_A_SEED,
        "one_process_s": [round(each, 1) for each in one_s],
        "together_s": round(together_s, 1),
        "finished_when_killed": len(finished),
        "made_again": sum(found.get(path) != at for path, at in finished.items()),
        "until_killed_s": round(until_s, 1),
        "resumed_s": round(rest_s, 1),
        "speed_up_per_core": round(min(one_s) / all_s, 3),
        "of_what_the_machine_can": round(together_s / all_s, 3),
        "load_before": round(before, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sweep", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--folder", type=Path, help="where the runs go, for the time being")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slbench-sweep-", dir=options.folder) as folder:
        record = measure(Path(folder), options.seeds)
    print(json.dumps(record, indent=1))
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if record["cells"] == record["cells_wanted"] and not record["made_again"] else 1


if __name__ == "__main__":
    sys.exit(main())
