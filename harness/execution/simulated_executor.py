"""Runs cells in virtual time, with a device profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.cells.cell import Prepared, Seen
from harness.cells.conditions import INSTANCE_PRICES, RunConditions
from harness.cells.deployments import simulated_deployment
from harness.cells.plan import CellPlan
from harness.cells.profile_check import last_check
from harness.cells.unanswered import outlasting
from harness.errors import HarnessError
from harness.simulable import check_simulable
from systems.interface import Deployment, ServingSystem

from .executor import RunContext
from .simulation import simulate_cell

if TYPE_CHECKING:
    from harness.replay import Schedule
    from systems.simulation.profile import Profile


_OF = {"cpu": "CPU cores", "cuda": "a GPU"}
_SUCH_AS = {"cpu": "cpu-small", "cuda": "h100"}
"""By kind of device: what its profiles are of, and one of them."""


@dataclass(frozen=True)
class SimulatedExecutor:
    """Runs cells without the devices and without models on disk."""

    context: RunContext

    @cached_property
    def profile(self) -> Profile:
        """The device profile that the experiment names."""
        from systems.simulation.profile import load_profile

        return load_profile(self.context.experiment.profile)

    def deployment(self, plan: CellPlan, functions: Sequence[str]) -> Deployment:
        """Make the deployment on the profile's kind of device. Models are names only. Raise
        ``HarnessError`` if the experiment names another kind."""
        check_simulable(plan.system.name)
        kind = "cuda" if self.profile.device_slots.value else "cpu"
        self._check_device(plan.deployment.device, kind)
        return simulated_deployment(plan.deployment, plan.system, functions, kind)

    def _check_device(self, chosen: str, kind: str) -> None:
        if chosen not in ("auto", kind):
            raise HarnessError(
                f"device {chosen}: profile {self.profile.name} is of {_OF[kind]}; name one of"
                f" {_OF[chosen]}, such as --profile {_SUCH_AS[chosen]}"
            )

    def check(self, plan: CellPlan, system: ServingSystem, deployment: Deployment) -> None:
        """Check that the devices can hold the deployment, if the system can tell: no machine has to
        serve it."""
        system.check_simulated(deployment, self.profile, plan.deployment.adapter_rank)

    def schedule(self, plan: CellPlan, drawn: Schedule, deployment: Deployment) -> Schedule:  # noqa: ARG002
        """Return the schedule unchanged: of a prompt, only its length counts."""
        return drawn

    def conditions(self) -> RunConditions:
        """Return the profile, its last check against a live run, and its machine."""
        profile = self.profile
        check = last_check(profile)
        return RunConditions(
            cores=int(profile.cores.value),
            ledger_grid=False,
            instance_prices=profile.instance_prices or INSTANCE_PRICES,
            profile={"name": profile.name, "sha256": profile.sha256, "last_check": check},
        )

    def _profile_of(self, plan: CellPlan) -> Profile:
        """Return the profile with the cell's key of draws, which all systems share."""
        drawn = self.context.experiment.draw_durations
        key = f"{plan.seed}-{plan.repeat}" if drawn else None
        return self.profile.model_copy(update={"draw_key": key})

    def run(self, cell: Prepared, title: str) -> Seen:
        """Simulate in this process. Times are relative to the start of the run."""
        with self.context.progress.bar(title, "requests") as advance:
            table, system_trace = simulate_cell(
                cell.plan.system.name,
                cell.deployment,
                cell.schedule,
                self._profile_of(cell.plan),
                cell.plan.deployment.adapter_rank,
                cell.plan.workload.loop,
            )
            advance(table.num_rows, table.num_rows)
        timeout_s = self.context.experiment.request_timeout_s
        warnings = tuple(outlasting(table, timeout_s))
        return Seen(table, cell.schedule.sha256, system_trace, warnings=warnings)
