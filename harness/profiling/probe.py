"""The cells of probes: deployed, sent their requests, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from systems.runtime.swept_folder import swept

from .frames import Frames, frames

if TYPE_CHECKING:
    from harness.execution.cell_runner import Conditions
    from harness.execution.progress import Progress
    from harness.experiment import Experiment
    from harness.records import Cell
    from workloads.trace import Workload

Request = tuple[float, str, int, int]
"""Time in s, function, prompt tokens, output tokens."""


@dataclass(frozen=True)
class Target:
    """What the probes are deployed on, by the fields of an experiment's deployment."""

    backbone: str
    device: Literal["cpu", "cuda"]
    dtype: str
    memory_gib: float
    limits: Mapping[str, int]


def on_cores(backbone: str, threads: int) -> Target:
    limits = {"threads_per_instance": threads, "max_context_tokens": 512, "max_batch_size": 16}
    return Target(backbone, "cpu", "bfloat16", 8, limits)


def kept_in(records: Path | None) -> AbstractContextManager[Path]:
    """Return the folder of the probes' records: ``records``, whose cells are not run again, or one
    that is removed."""
    if records is None:
        return swept("slbench-profile-")
    records.mkdir(parents=True, exist_ok=True)
    return nullcontext(records)


@dataclass(frozen=True)
class Probe:
    """Runs probe cells on this machine, or on a simulated one (``by_profile``)."""

    folder: Path
    target: Target
    progress: Progress
    by_profile: str | None

    def frames(self, system: str, requests: list[Request], keep_alive_s: float) -> Frames:
        """Run one cell of these requests and return its tables."""
        return frames(self.cell(system, requests, keep_alive_s))

    def cell(
        self, system: str, requests: list[Request], keep_alive_s: float = 120, **options: Any
    ) -> Cell:
        """Run one cell of ``system`` with these options."""
        return self.cell_of({"name": system, "options": options}, requests, keep_alive_s)

    def cell_of(
        self, system: Mapping[str, Any], requests: list[Request], keep_alive_s: float
    ) -> Cell:
        """Run one cell, unless the folder has its records. ``system``: the keys of an experiment's
        system."""
        folder = self.folder / f"{system['name']}-{self._digest(system, requests, keep_alive_s)}"
        return _kept(folder) or self._run(folder, system, requests, keep_alive_s)

    def _run(
        self,
        folder: Path,
        system: Mapping[str, Any],
        requests: list[Request],
        keep_alive_s: float,
    ) -> Cell:
        from harness.execution.runner import Runner
        from harness.records import new_run

        workload = folder.with_suffix(".parquet")
        _workload(workload.stem, requests).write(workload)
        experiment = self._experiment(system, workload, keep_alive_s)
        run = new_run(experiment.model_dump(mode="json"), folder)
        Runner(experiment, run, self.progress, conditions=self._conditions).execute()
        (cell,) = run.cells()
        return cell

    def _digest(
        self, system: Mapping[str, Any], requests: list[Request], keep_alive_s: float
    ) -> str:
        """Return what tells a cell from others: of its experiment and its requests."""
        experiment = self._experiment(system, Path("probe.parquet"), keep_alive_s)
        content = json.dumps([experiment.model_dump(mode="json"), requests])
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @cached_property
    def _conditions(self) -> Conditions:
        """The conditions of all probes, measured before the first."""
        from harness.execution.executor import RunContext
        from harness.execution.modes import MODES
        from harness.records import Run

        experiment = self._experiment({"name": "serverless-lora"}, self.folder, 1)
        context = RunContext(experiment, Run(self.folder, {}), self.progress)
        return cache(MODES[experiment.mode].executor(context).conditions)

    def _experiment(
        self, system: Mapping[str, Any], workload: Path, keep_alive_s: float
    ) -> Experiment:
        from harness.experiment import Experiment

        target = self.target
        return Experiment.model_validate(
            {
                "name": "profile",
                "systems": [system],
                "workloads": [{"name": str(workload)}],
                "deployment": {
                    "backbone": target.backbone,
                    "device": target.device,
                    "dtype": target.dtype,
                    "device_memory_gib": target.memory_gib,
                    "limits": {**target.limits, "keep_alive_s": keep_alive_s},
                },
                "lateness_budget_s": 1.0,
                "mode": "simulated" if self.by_profile else "live",
                "profile": self.by_profile or "",
                "draw_durations": False,
            }
        )


def _kept(folder: Path) -> Cell | None:
    """Return the cell whose records are in ``folder``; None: it was not run, or not to its end."""
    from harness.records import open_run

    cells = [cell for path in sorted(folder.glob("*-profile")) for cell in open_run(path).cells()]
    return cells[-1] if cells else None


def _workload(name: str, requests: list[Request]) -> Workload:
    import pyarrow as pa

    from workloads.trace import SCHEMA, Provenance, TraceFunction, Workload

    at_s, functions, prompts, outputs = zip(*requests, strict=True)
    columns = [range(len(requests)), [round(at * 1e9) for at in at_s], functions, prompts, outputs]
    return Workload(
        name,
        tuple(TraceFunction(id=function) for function in sorted(set(functions))),
        pa.table(dict(zip(SCHEMA.names, map(list, columns), strict=True)), schema=SCHEMA),
        Provenance(kind="synthetic", source="probes of slbench profile"),
        round((at_s[-1] + 6) * 1e9),
    )
