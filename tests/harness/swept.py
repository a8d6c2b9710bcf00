"""A small simulated run of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment_files import load
from harness.records import Run, new_run


def swept_run(folder: Path, sweep: Any, **changes: Any) -> Run:
    """Run two systems under a minute of steady load at every point of ``sweep``."""
    short = [{"name": "steady", "overrides": {"duration_s": 60}}]
    two = [{"name": "serverless-lora"}, {"name": "instainfer"}]
    asked = {"systems": two, "workloads": short, "sweep": sweep, **changes}
    experiment = load("saturation", asked)
    run = new_run(experiment.model_dump(mode="json"), folder)
    Runner(experiment, run, Progress()).execute(1)
    return run
