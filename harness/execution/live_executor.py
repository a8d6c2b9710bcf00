"""Runs cells in real time: deploys systems on this machine or a cluster; Locust sends the load."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.cells import bytecode, tables
from harness.cells.cell import Prepared, Seen
from harness.cells.conditions import RunConditions
from harness.cells.deployments import check_machines, deployment_for
from harness.cells.plan import CellPlan
from systems.interface import Deployment, Endpoint, ServingSystem
from systems.system_trace import check

from . import neighbours
from .executor import RunContext
from .load_cores import apart
from .telemetry import Sampler

if TYPE_CHECKING:
    from harness.replay import ReplayResult, Schedule
    from harness.replay.generator import LoadGenerator


@dataclass(frozen=True, slots=True)
class LiveExecutor:
    """Runs each cell with the machine to itself."""

    context: RunContext

    def deployment(self, plan: CellPlan, functions: Sequence[str]) -> Deployment:
        """Make the deployment, with models on disk. Missing models are created."""
        hosts = self.context.hosts
        # Load hosts must reach the endpoint.
        more = {"host": hosts.address} if hosts else {}
        return deployment_for(plan.deployment, plan.system, functions, **more)

    def check(self, plan: CellPlan, system: ServingSystem, deployment: Deployment) -> None:  # noqa: ARG002
        """Check that this machine, or the cluster, can serve the deployment."""
        check_machines(type(system), deployment.cluster)
        system.check(deployment)

    def conditions(self) -> RunConditions:
        """Calibrate the client with known send times."""
        from harness.calibration import calibrate

        self.context.progress.watch.phase("calibrating the client", told=True)
        calibration = calibrate(quick=True).as_dict()
        cores = len(os.sched_getaffinity(0)) - self.context.experiment.load_cores
        return RunConditions(cores=cores, ledger_grid=True, calibration=calibration)

    def schedule(self, plan: CellPlan, drawn: Schedule, deployment: Deployment) -> Schedule:
        """Give the requests text instead of token ids, if the workload has text."""
        if plan.workload.prompts == "ids":
            return drawn
        from harness.replay.texts import with_texts
        from systems.runtime.http.text import Text

        texts = {name: Text(path) for name, path in deployment.backbones.items()}
        of = {each.id: texts[each.backbone] for each in deployment.functions}
        return with_texts(drawn, plan.seed, of.__getitem__)

    def run(self, cell: Prepared, title: str) -> Seen:
        """Deploy, send load, stop, and read the system trace."""
        del title  # The view of the run shows it.
        watch = self.context.progress.watch
        watch.phase("deploying")
        with (
            neighbours.told() as beside,
            apart(self.context.experiment.load_cores) as own,
            self._generator() as generator,
            cell.system as system,
        ):
            endpoint = system.deploy(cell.deployment)
            with Sampler(endpoint.pids) as sampler:
                result = self._load(cell, endpoint, own, generator)
            watch.phase("stopping")
            others = beside()
        # Read after the system has stopped, so that the trace includes requests that still ran
        # after their clients gave up.
        system_trace = check(system.system_trace(), system.name)
        return Seen(
            client=result.table,
            schedule_sha256=result.schedule_sha256,
            system_trace=tables.relative(system_trace, result.start_ns),
            samples=sampler.samples,
            telemetry={**sampler.about(), "load_cores": len(own)},
            start_ns=result.start_ns,
            problems=(*result.problems, *system_trace.problems),
            warnings=(*bytecode.warnings(), *others),
            hosts=result.hosts,
        )

    @contextmanager
    def _generator(self) -> Iterator[LoadGenerator]:
        """Start the load generator beside the system: both take a while to be there."""
        from harness.replay.generator import LoadGenerator

        context = self.context
        solo = context.experiment.load_workers == 1 and context.hosts is None
        with context.run.scratch() as folder, LoadGenerator(folder, solo=solo) as found:
            yield found

    def _load(
        self,
        cell: Prepared,
        endpoint: Endpoint,
        cores: Sequence[int],
        generator: LoadGenerator,
    ) -> ReplayResult:
        from harness.replay import replay

        context, experiment = self.context, self.context.experiment
        loop = cell.plan.workload.loop
        watch = context.progress.watch
        with watch.load(cell.schedule, endpoint, closed=loop is not None) as watcher:
            return replay(
                cell.schedule,
                endpoint.base_url,
                generator.out_dir,
                timeout_s=experiment.request_timeout_s,
                workers=experiment.load_workers,
                web_port=context.web_port,
                hosts=context.hosts,
                cores=cores,
                loop=loop,
                form=cell.plan.workload.form,
                lateness_budget_s=experiment.lateness_budget_s,
                headers=endpoint.headers,
                routes=endpoint.routes,
                watcher=watcher,
                generator=generator,
            )
