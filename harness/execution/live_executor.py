"""Runs cells in real time: deploys systems on this machine or a cluster; Locust sends the load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.cells import bytecode, tables
from harness.cells.cell import Prepared, Seen
from harness.cells.conditions import RunConditions
from harness.cells.deployments import check_machines, deployment_for
from harness.cells.plan import CellPlan
from systems.interface import Deployment, Endpoint, ServingSystem
from systems.system_trace import check

from .executor import RunContext
from .load_cores import apart
from .telemetry import Sampler

if TYPE_CHECKING:
    from harness.replay import ReplayResult


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

    def check(self, system: ServingSystem, deployment: Deployment) -> None:
        """Check that this machine, or the cluster, can serve the deployment."""
        check_machines(type(system), deployment.cluster)
        system.check(deployment)

    def conditions(self) -> RunConditions:
        """Calibrate the client with known send times."""
        from harness.calibration import calibrate

        with self.context.progress.bar("calibrating the client", "requests"):
            calibration = calibrate(quick=True).as_dict()
        cores = len(os.sched_getaffinity(0)) - self.context.experiment.load_cores
        return RunConditions(cores=cores, ledger_grid=True, calibration=calibration)

    def run(self, cell: Prepared, title: str) -> Seen:
        """Deploy, send load, stop, and read the system trace."""
        with apart(self.context.experiment.load_cores) as own, cell.system as system:
            endpoint = system.deploy(cell.deployment)
            with Sampler(endpoint.pids) as sampler:
                result = self._load(cell, endpoint, own, title)
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
            warnings=bytecode.warnings(),
            hosts=result.hosts,
        )

    def _load(
        self, cell: Prepared, endpoint: Endpoint, cores: Sequence[int], title: str
    ) -> ReplayResult:
        from harness.replay import replay

        context, experiment = self.context, self.context.experiment
        with (
            context.progress.bar(title, "requests") as advance,
            context.run.scratch() as folder,
        ):
            return replay(
                cell.schedule,
                endpoint.base_url,
                folder,
                timeout_s=experiment.request_timeout_s,
                workers=experiment.load_workers,
                web_port=context.web_port,
                hosts=context.hosts,
                cores=cores,
                lateness_budget_s=experiment.lateness_budget_s,
                headers=endpoint.headers,
                routes=endpoint.routes,
                on_progress=lambda now: advance(now.done, now.total),
            )
