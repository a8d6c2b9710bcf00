"""Makes the records of a cell: its tables, its bill, its manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import metrics
from harness.choices import WorkloadChoice
from harness.cost import InstanceSheet, PriceSheet, bill, bill_instances, instance_sheet
from harness.experiment import Experiment
from harness.records import Manifest, Run, write_cell
from harness.records.schema import BILLING
from systems.interface import Deployment, SystemTrace

from . import tables as cell_tables
from .card_check import misplaced
from .cell import Prepared, Seen
from .conditions import RunConditions
from .isolation import groups_of, level_gaps_of
from .telemetry_check import telemetry_warnings
from .ttft_check import disagreement
from .unanswered import unanswered

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.replay.form import RequestForm
    from workloads.trace import Workload


@dataclass(frozen=True, slots=True)
class CellRecords:
    """Writes cells of ``run``, executed under ``conditions``."""

    experiment: Experiment
    run: Run
    prices: PriceSheet
    conditions: RunConditions

    def write(self, cell: Prepared, seen: Seen, started_at: str) -> None:
        """Write a cell's records. ``started_at``: start of the cell in ISO 8601."""
        system_trace = seen.system_trace
        end_ns = _end_of(seen.client, cell)
        tables = {
            "requests": cell_tables.requests_table(seen.client, system_trace, cell.deployment),
            "spans": cell_tables.spans_table(seen.client, system_trace),
            "memory": cell_tables.memory_table(
                system_trace.memory,
                seen.samples,
                seen.start_ns,
                end_ns,
                gridded=self.conditions.ledger_grid,
                node_memory=system_trace.node_memory,
            ),
            "billing": self._bill(cell, seen, end_ns),
        }
        document = metrics.summary(tables, end_ns / 1e9)
        residual = metrics.residual_problem(document)
        problems = (*seen.problems, *([residual] if residual else []))
        manifest = self._manifest(cell, seen, started_at, problems)
        said = system_trace.decisions
        extra = {"decisions": cell_tables.decisions_table(said)} if said else {}
        path = self.run.path / cell.plan.path
        write_cell(path, manifest, tables, document, extra, system_trace.files)

    def _bill(self, cell: Prepared, seen: Seen, end_ns: int) -> pa.Table:
        if cell.system.kind == "external" and not seen.system_trace.activity:
            # The cost of an external server is unknown: missing, not zero.
            return BILLING.empty_table()
        if isinstance(sheet := self._sheet(cell), InstanceSheet):
            return bill_instances(_rented(cell.deployment, seen.system_trace), sheet, end_ns=end_ns)
        return bill(
            seen.system_trace.memory,
            seen.system_trace.activity,
            _calls(seen.client),
            sheet,
            end_ns=end_ns,
            threads=cell.deployment.instance_threads(self.conditions.cores),
            processor=seen.system_trace.processor,
        )

    def _sheet(self, cell: Prepared) -> PriceSheet | InstanceSheet:
        """Return the price sheet. Serverful systems on GPUs are billed by the hour. On the CPU, a
        memory budget stands in for a GPU, and no hourly price exists for it. There serverful
        systems are billed like all others, by the memory and cores that they hold; they hold them
        all the time, so they count as active all the time."""
        whole = cell.system.kind == "serverful" and cell.deployment.devices[0].kind == "cuda"
        hourly = self.experiment.instance_prices or self.conditions.instance_prices
        return instance_sheet(hourly) if whole else self.prices

    def _manifest(
        self, cell: Prepared, seen: Seen, started_at: str, problems: tuple[str, ...]
    ) -> Manifest:
        return Manifest(
            run_id=self.run.id,
            mode=self.experiment.mode,
            experiment=self.experiment.name,
            system={**asdict(cell.system.info()), "label": cell.plan.system.label},
            workload={
                "name": cell.plan.load,
                "label": cell.plan.workload.label,
                "sha256": cell.workload.sha256,
                "duration_s": cell.workload.duration_ns / 1e9,
                "kind": cell.workload.provenance.kind,
                "provenance": cell.workload.provenance.model_dump(mode="json"),
            },
            schedule_sha256=seen.schedule_sha256,
            load=_load(cell.plan.workload),
            deployment=_portable(cell.deployment),
            isolation=cell.deployment.isolation if cell.system.isolation_levels else None,
            groups=groups_of(type(cell.system), cell.deployment),
            level_gaps=level_gaps_of(type(cell.system), cell.deployment),
            seed=cell.plan.seed,
            repeat=cell.plan.repeat,
            sweep=cell.plan.point or None,
            prices=self._sheet(cell).model_dump(include={"name", "date", "sha256"}),
            profile=self.conditions.profile,
            calibration=self.conditions.calibration,
            telemetry=seen.telemetry,
            nodes=_nodes(seen.system_trace),
            load_hosts=tuple(asdict(host) for host in seen.hosts) or None,
            started_at=started_at,
            valid=not problems,
            problems=problems,
            warnings=(
                *disagreement(seen.client, seen.system_trace.measured),
                *seen.warnings,
                *seen.system_trace.warnings,
                *misplaced(seen.system_trace.memory, seen.samples),
                *telemetry_warnings(seen.telemetry),
                *unanswered(seen.client),
                *_length_warnings(cell.workload),
                *_form_warnings(seen.client, cell.plan.workload.form),
            ),
            measured=seen.system_trace.measured,
        )


def _rented(deployment: Deployment, system_trace: SystemTrace) -> int:
    """Count the devices that the servers hold by the system trace, else the deployment's."""
    return len({each.device for each in system_trace.activity}) or len(deployment.devices)


def _portable(deployment: Deployment) -> dict[str, Any]:
    """Return the deployment without this machine's paths and addresses; models by their names."""
    of_the_system = {"options", "policies", "isolation"}
    content = deployment.model_dump(mode="json", exclude={*of_the_system, "host", "port"})
    if (cluster := content.pop("cluster")) is not None:
        content["cluster"] = cluster if cluster.startswith("local:") else "ray"
    content["backbones"] = {name: Path(path).name for name, path in content["backbones"].items()}
    for function in content["functions"]:
        function["adapter"] = Path(function["adapter"]).name if function["adapter"] else None
    return content


def _nodes(system_trace: SystemTrace) -> tuple[Mapping[str, Any], ...] | None:
    """Return the nodes of a cluster with their clock offsets and missing sensors, but without their
    addresses."""
    told = {step.host for step in system_trace.node_memory if step.pss_bytes is not None}
    said = [
        {
            **{name: value for name, value in asdict(node).items() if name != "address"},
            "missing": ["nvml", *(["pss and uss"] if node.host not in told else [])],
        }
        for node in system_trace.nodes
    ]
    return tuple(said) or None


def _load(chosen: WorkloadChoice) -> dict[str, Any]:
    """Describe how the load is sent; of the requests' form, only what is not the default."""
    loop = chosen.loop
    pace = {"loop": "open"} if loop is None else {"loop": "closed", **loop.model_dump()}
    return {**pace, **chosen.form.model_dump(exclude_defaults=True)}


def _form_warnings(client: pa.Table, form: RequestForm) -> Iterator[str]:
    if form.ignore_eos:
        return
    wanted, given = (client[n].to_pylist() for n in ("wanted_output_tokens", "output_tokens"))
    known = [(w, g) for w, g in zip(wanted, given, strict=True) if g is not None]
    shorter = sum(g < w for w, g in known)
    yield (
        f"ignore_eos is not sent: {shorter} of {len(known)} answers whose tokens the server counts"
        " are shorter than asked for"
    )


def _end_of(client: pa.Table, cell: Prepared) -> int:
    """Return the end of the run: the end of its trace, or the last response if that is later. A
    closed loop does not follow the trace's times."""
    ends = [end for end in client["end_ns"].to_pylist() if end is not None]
    trace_ns = cell.workload.duration_ns if cell.plan.workload.loop is None else 0
    return max(trace_ns, *ends, 0) if ends else cell.workload.duration_ns


def _length_warnings(workload: Workload) -> Iterator[str]:
    from workloads.lengths import lacks_lengths

    if lacks_lengths(workload):
        yield (
            f"workload {workload.name}: its source has no lengths, and every request is a"
            " placeholder of one token in, one token out"
        )


def _calls(client: pa.Table) -> dict[str, int]:
    """Count the requests that were sent, by function."""
    sent = client["sent_ns"].is_valid().to_pylist()
    return Counter(f for f, out in zip(client["function_id"].to_pylist(), sent, strict=True) if out)
