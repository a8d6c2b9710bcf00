"""Runs an experiment cell by cell: deploy, load, evidence, records, stop.

A cell is one system under one workload with one seed. Systems take turns in an order drawn anew
for each workload and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.interface import Deployment, Endpoint, Evidence, ServingSystem
from systems.links.address import ClusterAddress
from systems.registry import system_class

from . import assemble, bytecode, metrics
from .agreement import disagreement
from .cost import (
    InstanceSheet,
    PriceSheet,
    bill,
    bill_instances,
    instance_sheet,
    price_sheet,
)
from .deployments import check_machines, deployment_for, function_ids, simulated_deployment
from .experiment import Experiment
from .fidelity import last_check
from .plan import CellPlan, plan_cells, samples
from .progress import Progress
from .ray_sweeps import spread_over
from .records import Manifest, Run, place_cell, write_cell
from .records.schema import BILLING
from .simulation import check_simulable, simulate_cell
from .sweeps import cores, spread
from .telemetry import Sample, Sampler

if TYPE_CHECKING:
    import pyarrow as pa

    from systems.serverless.simulated.profile import Profile
    from workloads.trace import Workload

    from .replay import ReplayResult, Schedule
    from .replay.hosts import LoadHost, LoadHosts


_INSTANCES = "aws-p5-48xlarge"


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


@dataclass(frozen=True)
class Prepared:
    """A cell ready to run: nothing that the user could have got wrong is left to go wrong."""

    plan: CellPlan
    workload: Workload
    schedule: Schedule
    deployment: Deployment
    system: ServingSystem


@dataclass(frozen=True)
class Seen:
    """All that was seen of a cell, times counted from the run's start: the client's table, the
    system's evidence, samples from outside."""

    client: pa.Table
    schedule_sha256: str
    evidence: Evidence
    samples: list[Sample] = field(default_factory=list)
    telemetry: Mapping[str, Any] | None = None
    start_ns: int = 0
    """Of the run, on the clock of ``samples``."""
    problems: tuple[str, ...] = ()
    hosts: tuple[LoadHost, ...] = ()
    """Others that load came from."""


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
        from systems.serverless.simulated.profile import load_profile

        self._profile = load_profile(self._experiment.profile)

    def _done(self, plan: CellPlan) -> bool:
        return (self._run.path / plan.path).exists()

    def _prepare(self, plan: CellPlan) -> Prepared:
        from systems.models.sizes import model_size
        from workloads import catalogue

        from .replay import build_schedule

        workload = catalogue.load(plan.workload.name, seed=plan.seed, **plan.workload.overrides)
        system: ServingSystem = system_class(plan.system.name)()
        deployment = self._deployment(plan, function_ids(workload))
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
        from .calibration import calibrate

        with self._progress.bar("calibrating the client", "requests"):
            return calibrate(quick=True).as_dict()

    def _carry_out(self, cell: Prepared, title: str) -> None:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        seen = self._live(cell, title) if self._profile is None else self._simulated(cell, title)
        self._write(cell, seen, started_at)

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
        evidence = system.evidence()
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
        from .replay import replay

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

    def _write(self, cell: Prepared, seen: Seen, started_at: str) -> None:
        evidence = seen.evidence
        end_ns = _end_of(seen.client, cell.workload)
        tables = {
            "requests": assemble.requests_table(seen.client, evidence, cell.deployment),
            "spans": assemble.spans_table(seen.client, evidence),
            "memory": assemble.memory_table(
                evidence.memory,
                seen.samples,
                seen.start_ns,
                end_ns,
                gridded=self._profile is None,
                node_memory=evidence.node_memory,
            ),
            "billing": self._bill(cell, seen, end_ns),
        }
        document = metrics.summary(tables, end_ns / 1e9)
        residual = metrics.residual_problem(document)
        problems = (*seen.problems, *([residual] if residual else []))
        manifest = self._manifest(cell, seen, started_at, problems)
        said = evidence.decisions
        extra = {"decisions": assemble.decisions_table(said)} if said else {}
        path = self._run.path / cell.plan.path
        write_cell(path, manifest, tables, document, extra, evidence.files)

    def _bill(self, cell: Prepared, seen: Seen, end_ns: int) -> pa.Table:
        if cell.system.kind == "external" and not seen.evidence.activity:
            # What a server of somebody else costs cannot be seen from here: missing, not zero.
            return BILLING.empty_table()
        if isinstance(sheet := self._sheet(cell), InstanceSheet):
            return bill_instances(_rented(cell.deployment, seen.evidence), sheet, end_ns=end_ns)
        return bill(
            seen.evidence.memory,
            seen.evidence.activity,
            _calls(seen.client),
            sheet,
            end_ns=end_ns,
            threads=cell.deployment.instance_threads(self._cores()),
        )

    def _cores(self) -> int:
        """Of the machine that ran it, or that was simulated."""
        if self._profile is not None:
            return int(self._profile.cores.value)
        return len(os.sched_getaffinity(0))

    def _import_doubts(self) -> tuple[str, ...]:
        return bytecode.doubts() if self._profile is None else ()

    def _sheet(self, cell: Prepared) -> PriceSheet | InstanceSheet:
        """No instance is on offer by the hour for the budget of memory that stands in for a GPU on
        the CPU: a serverful system is billed there as everyone is, by the memory and the cores
        that it holds, and since it holds them all the time, as active all the time."""
        whole = cell.system.kind == "serverful" and cell.deployment.devices[0].kind == "cuda"
        return instance_sheet(self._instance_prices()) if whole else self._prices

    def _instance_prices(self) -> str:
        named = self._profile.instance_prices if self._profile is not None else ""
        return self._experiment.instance_prices or named or _INSTANCES

    def _manifest(
        self, cell: Prepared, seen: Seen, started_at: str, problems: tuple[str, ...]
    ) -> Manifest:
        info = cell.system.info()
        return Manifest(
            run_id=self._run.id,
            mode=self._experiment.mode,
            experiment=self._experiment.name,
            system=asdict(info),
            workload={
                "name": cell.plan.workload.label,
                "sha256": cell.workload.sha256,
                "kind": cell.workload.provenance.kind,
                "provenance": cell.workload.provenance.model_dump(mode="json"),
            },
            schedule_sha256=seen.schedule_sha256,
            deployment=_portable(cell.deployment),
            seed=cell.plan.seed,
            repeat=cell.plan.repeat,
            prices=self._sheet(cell).model_dump(include={"name", "date", "sha256"}),
            profile=_named(self._profile),
            calibration=self._calibration,
            telemetry=seen.telemetry,
            nodes=_nodes(seen.evidence),
            load_hosts=tuple(asdict(host) for host in seen.hosts) or None,
            started_at=started_at,
            valid=not problems,
            problems=problems,
            doubts=(*disagreement(seen.client, seen.evidence.measured), *self._import_doubts()),
            measured=seen.evidence.measured,
        )


def _rented(deployment: Deployment, evidence: Evidence) -> int:
    """Devices that a server is seen to hold; where that cannot be seen, all that it was given."""
    return len({each.device for each in evidence.activity}) or len(deployment.devices)


def _portable(deployment: Deployment) -> dict[str, Any]:
    """What was deployed, models by their names: where they lay on this machine is nobody's
    business."""
    content = deployment.model_dump(mode="json", exclude={"options", "host", "port"})
    if (cluster := content.pop("cluster")) is not None:
        content["cluster"] = cluster if cluster.startswith("local:") else "ray"
    content["backbones"] = {name: Path(path).name for name, path in content["backbones"].items()}
    for function in content["functions"]:
        function["adapter"] = Path(function["adapter"]).name if function["adapter"] else None
    return content


def _nodes(evidence: Evidence) -> tuple[Mapping[str, Any], ...] | None:
    """The machines of a cluster, how their clocks were related, and what was not measured there;
    where they are is nobody's business."""
    told = {step.host for step in evidence.node_memory if step.pss_bytes is not None}
    said = [
        {
            **{name: value for name, value in asdict(node).items() if name != "address"},
            "missing": ["nvml", *(["pss and uss"] if node.host not in told else [])],
        }
        for node in evidence.nodes
    ]
    return tuple(said) or None


def _named(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    check = last_check(profile.name)
    return {"name": profile.name, "sha256": profile.sha256, "last_check": check}


def _end_of(client: pa.Table, workload: Workload) -> int:
    """The run lasts as long as its trace, or until the last answer."""
    ends = [end for end in client["end_ns"].to_pylist() if end is not None]
    return max(workload.duration_ns, *ends, 0) if ends else workload.duration_ns


def _calls(client: pa.Table) -> dict[str, int]:
    """How many requests were sent, by function."""
    sent = client["sent_ns"].is_valid().to_pylist()
    return Counter(f for f, out in zip(client["function_id"].to_pylist(), sent, strict=True) if out)
