"""Runs an experiment cell by cell: deploy, load, evidence, records, stop.

A cell is one system under one workload with one seed. Systems take turns in an order drawn anew
for each workload and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cells import tables as assemble
from harness.cells.cell import Prepared, Seen
from harness.cells.deployments import (
    check_machines,
    deployment_for,
    function_ids,
    simulated_deployment,
)
from harness.cells.plan import CellPlan, plan_cells, samples
from harness.cells.records import CellRecords
from harness.cost import instance_sheet, price_sheet
from harness.experiment import Experiment
from harness.records import Run, place_cell
from systems.evidence import check
from systems.interface import Deployment, Endpoint, ServingSystem
from systems.registry import system_class
from systems.runtime.links.address import ClusterAddress

from .progress import Progress
from .ray_sweeps import spread_over
from .simulation import check_simulable, simulate_cell
from .sweeps import cores, spread
from .telemetry import Sampler

if TYPE_CHECKING:
    from harness.replay import ReplayResult
    from harness.replay.hosts import LoadHosts
    from systems.simulation.profile import Profile


@dataclass(frozen=True, slots=True)
class CellTask:
    """A simulated cell as another process is told of it; ``path`` is the run's folder."""

    experiment: Experiment
    path: Path
    plan: CellPlan


def run_cell(task: CellTask) -> None:
    """Simulate a cell into its run's folder."""
    Runner(task.experiment, Run(task.path, {}), Progress(io.StringIO())).simulate(task.plan)


def bring_cell(task: CellTask) -> dict[str, bytes]:
    """Simulate a cell on a machine that does not see the run's folder: its files, by name."""
    with tempfile.TemporaryDirectory(prefix="slbench-cell-") as folder:
        there = replace(task, path=Path(folder) / task.path.name)
        run_cell(there)
        files = (there.path / task.plan.path).iterdir()
        return {file.name: file.read_bytes() for file in files}


class Runner:
    """Carries an experiment out into a run's folder. ``web_port``: Locust's page while it loads;
    ``hosts``: others that load comes from."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        progress: Progress,
        *,
        web_port: int | None = None,
        hosts: LoadHosts | None = None,
    ) -> None:
        self._experiment = experiment
        self._run = run
        self._progress = progress
        self._web_port = web_port
        self._hosts = hosts
        self._profile: Profile | None = None
        self._prices = price_sheet(experiment.prices)
        if experiment.instance_prices:
            instance_sheet(experiment.instance_prices)  # refused now rather than after the load
        self._calibration: Mapping[str, Any] | None = None

    def execute(self, workers: int | None = None) -> None:
        """Run every cell that is not there yet. All are checked before the first starts, so that a
        wrong request fails at once. ``workers``: processes over which simulated cells are spread;
        None is one a core. Live cells always have the machine to themselves."""
        self._run.sweep()
        if self._experiment.mode == "simulated":
            self._spread(cores() if workers is None else workers)
            return
        cells = [self._prepare(plan) for plan in plan_cells(self._experiment)]
        todo = [cell for cell in cells if not self._done(cell.plan)]
        if todo:
            self._calibration = self._calibrate()
        for number, cell in enumerate(todo, start=1):
            self._carry_out(cell, f"[{number}/{len(todo)}] {cell.plan.title}")

    def _spread(self, workers: int) -> None:
        self._load_profile()
        for plan in samples(self._experiment):
            self._prepare(plan)
        todo = [
            CellTask(self._experiment, self._run.path, plan)
            for plan in plan_cells(self._experiment)
            if not self._done(plan)
        ]
        for number, task in enumerate(self._simulate_all(todo, workers), start=1):
            self._progress.say(f"[{number}/{len(todo)}] {task.plan.title}")

    def _simulate_all(self, todo: Sequence[CellTask], workers: int) -> Iterator[CellTask]:
        """As they come to an end: on the cluster that was named, or on this machine's cores."""
        cluster = self._experiment.deployment.cluster
        if cluster is None:
            yield from (task for task, _ in spread(run_cell, todo, workers))
            return
        for task, files in spread_over(ClusterAddress.parse(cluster), bring_cell, todo):
            place_cell(self._run.path / task.plan.path, files)
            yield task

    def simulate(self, plan: CellPlan) -> None:
        """One cell of a simulated experiment, unless it is there."""
        self._load_profile()
        if not self._done(plan):
            self._carry_out(self._prepare(plan), plan.title)

    def _load_profile(self) -> None:
        from systems.simulation.profile import load_profile

        self._profile = load_profile(self._experiment.profile)

    def _done(self, plan: CellPlan) -> bool:
        return (self._run.path / plan.path).exists()

    def _prepare(self, plan: CellPlan) -> Prepared:
        from harness.replay import build_schedule
        from systems.models.sizes import model_size
        from workloads import catalogue

        workload = catalogue.load(plan.workload.name, seed=plan.seed, **plan.workload.overrides)
        system: ServingSystem = system_class(plan.system.name)()
        deployment = self._deployment(plan, function_ids(workload))
        system.configure(deployment)
        if self._profile is None:
            check_machines(type(system), deployment.cluster)
            system.check(deployment)
        vocabularies = [
            model_size(str(path), deployment.dtype, 1, "cpu").vocab_size
            for path in deployment.backbones.values()
        ]
        schedule = build_schedule(workload, seed=plan.seed, vocab_size=min(vocabularies))
        return Prepared(plan, workload, schedule, deployment, system)

    def _deployment(self, plan: CellPlan, functions: list[str]) -> Deployment:
        choice = self._experiment.deployment
        if self._profile is None:
            # Load hosts must reach the endpoint.
            more = {"host": self._hosts.address} if self._hosts else {}
            return deployment_for(choice, plan.system, functions, **more)
        check_simulable(plan.system.name)
        kind = "cuda" if self._profile.device_slots.value else "cpu"
        return simulated_deployment(choice, plan.system, functions, kind)

    def _calibrate(self) -> Mapping[str, Any]:
        from harness.calibration import calibrate

        with self._progress.bar("calibrating the client", "requests"):
            return calibrate(quick=True).as_dict()

    def _carry_out(self, cell: Prepared, title: str) -> None:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        seen = self._live(cell, title) if self._profile is None else self._simulated(cell, title)
        records = CellRecords(
            self._experiment, self._run, self._prices, self._profile, self._calibration
        )
        records.write(cell, seen, started_at)

    def _simulated(self, cell: Prepared, title: str) -> Seen:
        assert self._profile is not None
        with self._progress.bar(title, "requests") as advance:
            table, evidence = simulate_cell(
                cell.plan.system.name,
                cell.deployment,
                cell.schedule,
                self._profile,
                self._experiment.deployment.adapter_rank,
            )
            advance(table.num_rows, table.num_rows)
        return Seen(table, cell.schedule.sha256, evidence)

    def _live(self, cell: Prepared, title: str) -> Seen:
        with cell.system as system:
            endpoint = system.deploy(cell.deployment)
            with Sampler(endpoint.pids) as sampler:
                result = self._load(cell, endpoint, title)
        # Once it has stopped: what was still under way for a client that gave up is told of, too.
        evidence = check(system.evidence(), system.name)
        return Seen(
            client=result.table,
            schedule_sha256=result.schedule_sha256,
            evidence=assemble.relative(evidence, result.start_ns),
            samples=sampler.samples,
            telemetry=sampler.about(),
            start_ns=result.start_ns,
            problems=(*result.problems, *evidence.problems),
            hosts=result.hosts,
        )

    def _load(self, cell: Prepared, endpoint: Endpoint, title: str) -> ReplayResult:
        from harness.replay import replay

        with (
            self._progress.bar(title, "requests") as advance,
            self._run.scratch() as folder,
        ):
            return replay(
                cell.schedule,
                endpoint.base_url,
                folder,
                timeout_s=self._experiment.request_timeout_s,
                workers=self._experiment.load_workers,
                web_port=self._web_port,
                hosts=self._hosts,
                lateness_budget_s=self._experiment.lateness_budget_s,
                headers=endpoint.headers,
                routes=endpoint.routes,
                on_progress=lambda now: advance(now.done, now.total),
            )
