"""Time a simulated cell, records included, at each isolation level, beside Vidur's event loop.

    python -m tests.benchmarks.simulated_cell [--devices 16] [--requests 48000] [--vidur PYTHON]

Two functions and ``--rate`` requests/s a device, as in the weak-scaling study; prompts of 128 and
answers of 64 tokens. Each cell runs alone in this process, from the workload to the written
records, and then one of the first kind on every core at the same time. ``--vidur``: an interpreter
that has Vidur (by default this one); it gets as many replicas and requests at the same rate, in the
same run, with every iteration of equal length (``vidur_loop.py``). Seconds are processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from harness.cells.plan import plan_cells
from harness.execution.cell_tasks import CellTask, run_cell
from harness.execution.sweeps import cores, spread
from harness.experiment import Experiment
from harness.experiment_files import load
from systems.interface import Isolation

PROMPT, OUTPUT = 128, 64
_WORKLOAD = """
summary = "made for a benchmark"
source = "made here"
duration_s = {duration_s}

[population]
functions = {functions}
rate_rps = {rate_rps}
popularity = {{ kind = "zipf", exponent = 1.0 }}
process = {{ kind = "poisson" }}
"""


def experiment(
    folder: Path, isolation: str, devices: int, requests: int, rate: float
) -> Experiment:
    """Return an experiment of one cell; its workload is written to ``folder``."""
    rate_rps = rate * devices
    workload = folder / f"load-{requests}.toml"
    about = {"functions": 2 * devices, "rate_rps": rate_rps, "duration_s": requests / rate_rps}
    workload.write_text(_WORKLOAD.format(**about))
    changes: dict[str, Any] = {
        "profile": "h100",
        "systems": [{"name": "serverless-lora", "isolation": isolation, "tenants": 4}],
        "baseline": "serverless-lora",
        "workloads": [
            {
                "name": str(workload),
                "overrides": {"prompt_tokens": PROMPT, "output_tokens": OUTPUT},
            }
        ],
        "deployment.devices": devices,
    }
    if isolation != "tenant":
        del changes["systems"][0]["tenants"]
    return load("saturation", changes)


def timed(task: CellTask) -> dict[str, Any]:
    """Run a cell; return the requests that it recorded and the seconds that it took."""
    began = time.process_time()
    run_cell(task)
    took = time.process_time() - began
    summary = json.loads((task.path / task.plan.path / "summary.json").read_bytes())
    return {"requests": summary["n"], "seconds": took}


def tasks(folder: Path, made: Experiment, count: int) -> list[CellTask]:
    """Return ``count`` tasks for the only cell of an experiment, each with a run of its own."""
    (plan,) = plan_cells(made)
    paths = [folder / f"{made.systems[0].isolation}-{number}" for number in range(count)]
    for path in paths:
        path.mkdir()
    return [CellTask(made, path, plan) for path in paths]


def ours(folder: Path, devices: int, requests: int, rate: float) -> Iterator[tuple[str, Any]]:
    small = experiment(folder, "function", devices, 200, rate)
    (folder / "warm").mkdir()
    (warm_up,) = tasks(folder / "warm", small, 1)
    timed(warm_up)
    levels = get_args(Isolation)
    for level in levels:
        (task,) = tasks(folder, experiment(folder, level, devices, requests, rate), 1)
        yield f"a cell at {level} level", timed(task)
    (folder / "all").mkdir()
    every = tasks(folder / "all", experiment(folder, levels[0], devices, requests, rate), cores())
    began = time.perf_counter()
    done = [result for _, result in spread(timed, every, cores(), fresh=True)]
    took = time.perf_counter() - began
    yield f"{cores()} cells on {cores()} cores", {
        "requests": sum(each["requests"] for each in done), "seconds": took
    }  # fmt: skip


def vidur(python: str, devices: int, requests: int, rate: float) -> dict[str, Any] | None:
    """Time Vidur; None if the interpreter does not have it."""
    if subprocess.run([python, "-c", "import vidur"], capture_output=True, check=False).returncode:
        return None
    script = str(Path(__file__).with_name("vidur_loop.py"))
    given = [devices, requests, rate * devices, PROMPT, OUTPUT]
    done = subprocess.run(
        [python, script, *map(str, given)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def tell(what: str, found: dict[str, Any]) -> None:
    per_second = found["requests"] / found["seconds"]
    print(f"{what}: {found['requests']} requests in {found['seconds']:.2f} s, {per_second:,.0f}/s")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.simulated_cell", description=__doc__
    )
    parser.add_argument("--devices", type=int, default=16)
    parser.add_argument("--requests", type=int, default=48_000)
    parser.add_argument("--rate", type=float, default=1.0, help="requests/s for each device")
    parser.add_argument("--vidur", default=sys.executable, metavar="PYTHON")
    given = parser.parse_args()
    print(f"{given.devices} devices; load of the machine before: {os.getloadavg()[0]:.1f}")
    load_of = (given.devices, given.requests, given.rate)
    with tempfile.TemporaryDirectory(prefix="slbench-cell-") as folder:
        for what, found in ours(Path(folder), *load_of):
            tell(what, found)
    # A tenth of the requests: its loop takes as long for each of them.
    other = vidur(given.vidur, given.devices, given.requests // 10, given.rate)
    if other is None:
        print(f"Vidur: {given.vidur} has no module vidur; name one that has with --vidur")
    else:
        tell("Vidur's event loop", other)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
