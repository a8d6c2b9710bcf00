"""Runs of every kind. A figure must be drawn from them, or skipped with a one-line reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment_files import load
from harness.records import Cell, Run, new_run
from tests.harness.made import made_cell, made_run, unseen_tables
from tests.harness.swept import swept_run


@dataclass(frozen=True)
class ReadOnce(Run):
    """A finished run whose cells are read once for all its figures."""

    @classmethod
    def of(cls, run: Run) -> ReadOnce:
        return cls(run.path, run.experiment)

    def cells(self) -> list[Cell]:
        return list(_read(self.path))


@cache
def _read(path: Path) -> list[Cell]:
    return Run(path, {}).cells()


def one(root: Path) -> Run:
    return made_run(root, ("serverless-lora",))


def endpoint(root: Path) -> Run:
    run = new_run({"name": "endpoint"}, root)
    made_cell(run, "openai-endpoint", unseen_tables())
    return run


def beside(root: Path) -> Run:
    """Make a run with an external endpoint and two systems that record a system trace."""
    run = made_run(root)
    made_cell(run, "openai-endpoint", unseen_tables())
    return run


def unanswered(root: Path) -> Run:
    """Make a run of an external endpoint in which no request received a token."""
    content = unseen_tables()
    requests = content["requests"]
    for name in ("first_byte_ns", "first_token_ns", "last_token_ns", "output_tokens"):
        at = requests.schema.get_field_index(name)
        field = requests.schema.field(at)
        requests = requests.set_column(at, field, pa.nulls(len(requests), field.type))
    at = requests.schema.get_field_index("status")
    requests = requests.set_column(at, "status", pa.array(["timeout"] * len(requests)))
    run = new_run({"name": "unanswered"}, root)
    made_cell(run, "openai-endpoint", {**content, "requests": requests})
    return run


def simulated(root: Path) -> Run:
    """Run the main experiment in virtual time, with twenty minutes of one pattern."""
    workload = {"name": "azure-normal8", "overrides": {"duration_s": 1200}}
    experiment = load("main", {"mode": "simulated", "workloads": [workload]})
    run = new_run(experiment.model_dump(mode="json"), root)
    Runner(experiment, run, Progress()).execute(1)
    return run


def levels(root: Path, **more: Any) -> Run:
    """Make a run of a system with its two functions as two tenants and as one, and of a system
    without isolation levels. ``more``: content of all manifests."""
    run = new_run({"name": "levels"}, root)
    for label, groups in (("apart", {"A": ("A",), "B": ("B",)}), ("together", {"*": ("A", "B")})):
        system = {"name": "serverless-lora", "label": label}
        made_cell(run, label, **{"system": system, "groups": groups, **more})
    made_cell(run, "multi-lora", **more)
    return run


def swept(root: Path) -> Run:
    """Run two systems in virtual time over a grid of two numbers."""
    grid = {"workloads.time_scale": [1, 64], "deployment.limits.keep_alive_s": [10, 60]}
    return swept_run(root, grid)


def swept_endpoint(root: Path) -> Run:
    """Make a live run of an external endpoint at three points, the last of them invalid."""
    values = [0, 1, 2]
    together = {"workloads.rate": values, "deployment.devices": [1, 2, 3]}
    run = new_run({"name": "swept-endpoint", "sweep": [together]}, root)
    system = {"name": "openai-endpoint", "label": "openai-endpoint"}
    for value in values:
        load = {"name": f"mine@rate={value},devices={value + 1}", "label": "mine"}
        point = {"workloads.rate": value, "deployment.devices": value + 1}
        about = {"system": system, "workload": load, "sweep": point}
        made_cell(run, f"at-{value}", unseen_tables(), valid=value < 2, **about)
    return run


def scaled(root: Path, name: str) -> Run:
    """Make a live run of two systems on 1, 2 and 4 devices, with a load that grows with them."""
    together = {"deployment.devices": [1, 2, 4], "workloads.time_scale": [30, 60, 120]}
    run = new_run({"name": name, "sweep": [together], "figures": [name]}, root)
    for label in ("serverless-lora", "multi-lora"):
        for devices in (1, 2, 4):
            point = {"deployment.devices": devices, "workloads.time_scale": 30 * devices}
            load = {"name": f"steady@devices={devices}", "label": "steady"}
            system = {"name": label, "label": label}
            about = {"system": system, "workload": load, "sweep": point}
            made_cell(run, f"{label}-{devices}", **about)
    return run


def many_loads(root: Path) -> Run:
    """Make a run of two labelled systems at twelve points of a sweep with long names."""
    rates = list(range(1, 13))
    run = new_run({"name": "many", "sweep": [{"workloads.requests_per_second": rates}]}, root)
    for label, content in (("mine", None), ("yours", unseen_tables())):
        system = {"name": "serverless-lora", "label": label}
        for rate in rates:
            load = {"name": f"steady@requests_per_second={rate}", "label": "steady"}
            point = {"workloads.requests_per_second": rate}
            about = {"system": system, "workload": load, "sweep": point}
            made_cell(run, f"{label}-{rate}", content, **about)
    return run
