"""Runs an experiment cell by cell: deploy, load, evidence, records, stop.

A cell is one system under one workload with one seed. Systems take turns in an order drawn anew
for each workload and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.interface import Deployment, Evidence, ServingSystem
from systems.registry import system_class

from . import assemble, metrics
from .cost import PriceSheet, bill, price_sheet
from .deployments import deployment_for, function_ids
from .experiment import Experiment, SystemChoice, WorkloadChoice
from .progress import Progress
from .records import Manifest, Run, write_cell
from .telemetry import Sample, Sampler

if TYPE_CHECKING:
    from workloads.trace import Workload

    from .replay import ReplayResult, Schedule


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What one cell runs."""

    system: SystemChoice
    workload: WorkloadChoice
    seed: int
    repeat: int

    @property
    def path(self) -> Path:
        """Its folder within the run's."""
        suffix = f"-r{self.repeat}" if self.repeat else ""
        return Path(self.system.name) / self.workload.label / f"{self.seed}{suffix}"


def plan_cells(experiment: Experiment) -> Iterator[CellPlan]:
    """Every cell, systems in an order drawn anew for each workload, seed and repeat."""
    from workloads.streams import stream

    for repeat in range(experiment.repeats):
        for seed in experiment.seeds:
            for workload in experiment.workloads:
                turns = stream(seed, "order", experiment.name, workload.label, repeat)
                for index in turns.permutation(len(experiment.systems)):
                    yield CellPlan(experiment.systems[index], workload, seed, repeat)


@dataclass(frozen=True)
class Prepared:
    """A cell ready to run: nothing that the user could have got wrong is left to go wrong."""

    plan: CellPlan
    workload: Workload
    schedule: Schedule
    deployment: Deployment
    system: ServingSystem


class Runner:
    """Carries an experiment out into a run's folder. ``web_port``: Locust's page while it loads."""

    def __init__(
        self, experiment: Experiment, run: Run, progress: Progress, *, web_port: int | None = None
    ) -> None:
        self._experiment = experiment
        self._run = run
        self._progress = progress
        self._web_port = web_port
        self._prices: PriceSheet = price_sheet(experiment.prices)
        self._calibration: Mapping[str, Any] | None = None

    def execute(self) -> None:
        """Run every cell that is not there yet. All are prepared and checked before the first
        starts, so that a wrong request fails at once."""
        cells = [self._prepare(plan) for plan in plan_cells(self._experiment)]
        todo = [cell for cell in cells if not (self._run.path / cell.plan.path).exists()]
        if todo:
            self._calibration = self._calibrate()
        for number, cell in enumerate(todo, start=1):
            title = (
                f"[{number}/{len(todo)}] {cell.plan.system.name} under {cell.plan.workload.label}"
            )
            self._carry_out(cell, title)

    def _prepare(self, plan: CellPlan) -> Prepared:
        from systems.engine.config import read_config
        from workloads import catalogue

        from .replay import build_schedule

        workload = catalogue.load(plan.workload.name, seed=plan.seed, **plan.workload.overrides)
        deployment = deployment_for(
            self._experiment.deployment, plan.system, function_ids(workload)
        )
        (backbone,) = deployment.backbones.values()
        schedule = build_schedule(
            workload, seed=plan.seed, vocab_size=read_config(backbone).vocab_size
        )
        system: ServingSystem = system_class(plan.system.name)()
        system.check(deployment)
        return Prepared(plan, workload, schedule, deployment, system)

    def _calibrate(self) -> Mapping[str, Any]:
        from .calibration import calibrate

        with self._progress.bar("calibrating the client", "requests"):
            return calibrate(quick=True).as_dict()

    def _carry_out(self, cell: Prepared, title: str) -> None:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        with cell.system as system:
            endpoint = system.deploy(cell.deployment)
            with Sampler(endpoint.pids) as sampler:
                result = self._load(cell, endpoint.base_url, title)
            evidence = system.evidence()
        self._write(cell, result, evidence, sampler.samples, started_at)

    def _load(self, cell: Prepared, base_url: str, title: str) -> ReplayResult:
        from .replay import replay

        with (
            self._progress.bar(title, "requests") as advance,
            tempfile.TemporaryDirectory(prefix="slbench-load-") as folder,
        ):
            return replay(
                cell.schedule,
                base_url,
                Path(folder),
                timeout_s=self._experiment.request_timeout_s,
                workers=self._experiment.load_workers,
                web_port=self._web_port,
                lateness_budget_s=self._experiment.lateness_budget_s,
                on_progress=lambda now: advance(now.done, now.total),
            )

    def _write(
        self,
        cell: Prepared,
        result: ReplayResult,
        evidence: Evidence,
        samples: list[Sample],
        started_at: str,
    ) -> None:
        seen = assemble.relative(evidence, result.start_ns)
        end_ns = _end_of(result, cell.workload)
        tables = {
            "requests": assemble.requests_table(result.table, seen, cell.deployment),
            "spans": assemble.spans_table(result.table, seen),
            "memory": assemble.memory_table(seen.memory, samples, result.start_ns, end_ns),
            "billing": bill(
                seen.memory,
                seen.activity,
                _calls(result),
                self._prices,
                end_ns=end_ns,
                threads=cell.deployment.limits.threads_per_instance or os.cpu_count() or 1,
            ),
        }
        document = metrics.summary(tables, end_ns / 1e9)
        problems = [*result.problems, *evidence.problems]
        residual = metrics.residual_problem(document)
        problems += [residual] if residual else []
        manifest = self._manifest(cell, result, started_at, tuple(problems))
        write_cell(self._run.path / cell.plan.path, manifest, tables, document)

    def _manifest(
        self, cell: Prepared, result: ReplayResult, started_at: str, problems: tuple[str, ...]
    ) -> Manifest:
        info = cell.system.info()
        return Manifest(
            run_id=self._run.id,
            mode="live",
            experiment=self._experiment.name,
            system=asdict(info),
            workload={
                "name": cell.plan.workload.label,
                "sha256": cell.workload.sha256,
                "kind": cell.workload.provenance.kind,
                "provenance": cell.workload.provenance.model_dump(mode="json"),
            },
            schedule_sha256=result.schedule_sha256,
            deployment=_portable(cell.deployment),
            seed=cell.plan.seed,
            repeat=cell.plan.repeat,
            prices=self._prices.model_dump(include={"name", "date", "sha256"}),
            calibration=self._calibration,
            started_at=started_at,
            valid=not problems,
            problems=problems,
        )


def _portable(deployment: Deployment) -> dict[str, Any]:
    """What was deployed, models by their names: where they lay on this machine is nobody's
    business."""
    content = deployment.model_dump(mode="json", exclude={"options", "host", "port"})
    content["backbones"] = {name: Path(path).name for name, path in content["backbones"].items()}
    for function in content["functions"]:
        function["adapter"] = Path(function["adapter"]).name if function["adapter"] else None
    return content


def _end_of(result: ReplayResult, workload: Workload) -> int:
    """The run lasts as long as its trace, or until the last answer."""
    ends = [end for end in result.table["end_ns"].to_pylist() if end is not None]
    return max(workload.duration_ns, *ends, 0) if ends else workload.duration_ns


def _calls(result: ReplayResult) -> dict[str, int]:
    counts: dict[str, int] = {}
    table = result.table
    for function, sent in zip(
        table["function_id"].to_pylist(), table["sent_ns"].to_pylist(), strict=True
    ):
        if sent is not None:
            counts[function] = counts.get(function, 0) + 1
    return counts
