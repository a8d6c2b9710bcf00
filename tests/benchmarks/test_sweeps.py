"""Speed-up of simulated cells with more processes; the target is 0.8 × the number of cores.

The number is valid only on an idle machine; ``extra_info`` has the load before."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.execution.sweeps import cores
from harness.experiment_files import load
from harness.records import Run

CELLS_A_CORE = 12


def execute(folder: Path, workers: int, seeds: int, duration_s: int) -> float:
    """Run one system with this load for ``seeds`` seeds; return the seconds."""
    experiment = load(
        "evaluation",
        {
            "systems": [{"name": "serverless-lora"}],
            "workloads": [{"name": "azure-predictable8", "overrides": {"duration_s": duration_s}}],
            "seeds": list(range(seeds)),
        },
    )
    folder.mkdir()
    began = time.perf_counter()
    Runner(experiment, Run(folder, {}), Progress(open(os.devnull, "w"))).execute(workers)  # noqa: SIM115
    return time.perf_counter() - began


def test_cells_over_all_cores(benchmark: Any, tmp_path: Path) -> None:
    if cores() < 2:
        pytest.skip("one core has nothing to spread over")
    seeds = 2 if benchmark.disabled else CELLS_A_CORE * cores()
    duration_s = 900 if benchmark.disabled else 4 * 3600
    before = os.getloadavg()[0]
    one_s = execute(tmp_path / "one", 1, seeds, duration_s)
    all_s = benchmark.pedantic(execute, (tmp_path / "all", cores(), seeds, duration_s), rounds=1)
    benchmark.extra_info.update(
        cores=cores(), cells=seeds, one_process_s=one_s, all_cores_s=all_s,
        speed_up_per_core=one_s / all_s / cores(), load_before=before,
    )  # fmt: skip
