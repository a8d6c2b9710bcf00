"""Joins the observations of client, system and telemetry into the tables of a cell.

Input times are on one monotonic clock; output times are relative to the run's start. The rows are
the client's: a request that never reached the system still has a row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import pyarrow as pa

from harness.records.schema import MEMORY, REQUESTS, SPANS
from systems.interface import (
    Activity,
    Decision,
    Deployment,
    MemoryStep,
    NodeMemoryStep,
    ProcessorUse,
    SystemTrace,
)

from .sample import Sample

GRID_NS = 100_000_000
"""The ledger is sampled at 10 Hz and at each of its changes."""

Spell = TypeVar("Spell", Activity, ProcessorUse)

_FROM_CLIENT = (
    "request_id", "function_id", "scheduled_ns", "sent_ns", "first_byte_ns", "first_token_ns",
    "last_token_ns", "end_ns", "prompt_tokens", "output_tokens", "wanted_output_tokens", "status",
    "error", "connect_ns", "text_sha256", "itl_ns",
)  # fmt: skip


def relative(system_trace: SystemTrace, start_ns: int) -> SystemTrace:
    """Return the system trace with all times relative to ``start_ns``."""
    return replace(
        system_trace,
        requests=tuple(
            replace(
                r,
                received_ns=r.received_ns - start_ns,
                responded_ns=_since(start_ns, r.responded_ns),
                placed_ns=_since(start_ns, r.placed_ns),
                done_ns=_since(start_ns, r.done_ns),
                spans=tuple(
                    replace(s, start_ns=s.start_ns - start_ns, end_ns=s.end_ns - start_ns)
                    for s in r.spans
                ),
            )
            for r in system_trace.requests
        ),
        memory=tuple(replace(step, t_ns=step.t_ns - start_ns) for step in system_trace.memory),
        activity=tuple(_shifted(each, start_ns) for each in system_trace.activity),
        processor=tuple(_shifted(each, start_ns) for each in system_trace.processor),
        decisions=tuple(replace(d, t_ns=d.t_ns - start_ns) for d in system_trace.decisions),
        nodes=tuple(
            replace(
                node,
                joined_ns=node.joined_ns - start_ns,
                left_ns=_since(start_ns, node.left_ns),
            )
            for node in system_trace.nodes
        ),
        node_memory=tuple(
            replace(step, t_ns=step.t_ns - start_ns) for step in system_trace.node_memory
        ),
    )


def _since(start_ns: int, t_ns: int | None) -> int | None:
    return None if t_ns is None else t_ns - start_ns


def _shifted(spell: Spell, start_ns: int) -> Spell:
    return replace(spell, start_ns=spell.start_ns - start_ns, end_ns=spell.end_ns - start_ns)


def requests_table(client: pa.Table, system_trace: SystemTrace, deployment: Deployment) -> pa.Table:
    """Make a row per request of the schedule, with the system's trace of it if there is one."""
    functions = {function.id: function for function in deployment.functions}
    seen = {request.request_id: request for request in system_trace.requests}
    homes = {each.instance_id: each.device for each in system_trace.activity}
    columns: dict[str, list[Any]] = {name: [] for name in REQUESTS.names}
    missing = dict.fromkeys(REQUESTS.names)
    for row in client.select([n for n in _FROM_CLIENT if n in client.column_names]).to_pylist():
        function = functions[row["function_id"]]
        said = seen.get(str(row["request_id"]))
        more = {
            "adapter_id": function.adapter_id,
            "backbone": function.backbone,
            "tenant": function.tenant,
            "slo_ttft_ns": round(function.slo_ttft_s * 1e9),
            "start_type": said.start_type.value if said and said.start_type else None,
            "instance_id": said.instance_id if said else None,
            "device": homes.get(said.instance_id) if said and said.instance_id else None,
            "batch_size": said.batch_size if said else None,
            "received_ns": said.received_ns if said else None,
            "responded_ns": said.responded_ns if said else None,
            "placed_ns": said.placed_ns if said else None,
            "done_ns": said.done_ns if said else None,
        }
        for name, value in {**missing, **row, **more}.items():
            columns[name].append(value)
    return pa.table(columns, schema=REQUESTS)


def spans_table(client: pa.Table, system_trace: SystemTrace) -> pa.Table:
    """Make a row per stage of every request of the schedule that the system traced."""
    known = {str(request) for request in client["request_id"].to_pylist()}
    rows = [
        (int(request.request_id), span.stage.value, span.start_ns, span.end_ns)
        for request in system_trace.requests
        if request.request_id in known
        for span in request.spans
    ]
    return _table(rows, SPANS)


def memory_table(
    ledger: Sequence[MemoryStep],
    samples: Sequence[Sample],
    start_ns: int,
    end_ns: int,
    *,
    gridded: bool = True,
    node_memory: Sequence[NodeMemoryStep] = (),
) -> pa.Table:
    """Make rows of the ledger, at its changes and (``gridded``) at 10 Hz, and of memory measured
    from outside. In virtual time the changes are enough."""
    holdings: dict[tuple[str, Any, str | None], list[MemoryStep]] = {}
    for step in sorted(ledger, key=lambda step: step.t_ns):
        holdings.setdefault((step.device, step.owner, step.function_id), []).append(step)
    grid = range(0, end_ns + 1, GRID_NS) if gridded else range(0)
    rows = chain(
        chain.from_iterable(_sampled(steps, end_ns, grid) for steps in holdings.values()),
        chain.from_iterable(_measured(sample, sample.t_ns - start_ns) for sample in samples),
        chain.from_iterable(map(_measured_there, node_memory)),
    )
    return _table(sorted((row for row in rows if 0 <= row[0] <= end_ns), key=_by_time), MEMORY)


def _by_time(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple("" if value is None else value for value in row)


def _sampled(steps: Sequence[MemoryStep], end_ns: int, grid: range) -> list[tuple[Any, ...]]:
    times = sorted({*grid, *(step.t_ns for step in steps if step.t_ns <= end_ns)})
    rows: list[tuple[Any, ...]] = []
    index, held = 0, 0
    for t_ns in times:
        while index < len(steps) and steps[index].t_ns <= t_ns:
            held = steps[index].bytes
            index += 1
        first = steps[0]
        rows.append((t_ns, first.device, str(first.owner.value), first.function_id, held, "ledger"))
    return rows


def _measured(sample: Sample, t_ns: int) -> list[tuple[Any, ...]]:
    """Make rows of a sample: the operating system measures processes, the driver devices. Only the
    ledger has the owners within them."""
    readings = [
        ("host", sample.anonymous_bytes, "measured-anonymous"),
        ("host", sample.pss_bytes, "measured-pss"),
        ("host", sample.uss_bytes, "measured-uss"),
        *((device, size, "measured-nvml") for device, size in sample.gpu_bytes.items()),
    ]
    return [
        (t_ns, device, "other", None, size, source)
        for device, size, source in readings
        if size is not None
    ]


def _measured_there(step: NodeMemoryStep) -> list[tuple[Any, ...]]:
    """Make rows of a node's measurement of its own processes."""
    readings = [("measured-pss", step.pss_bytes), ("measured-uss", step.uss_bytes)]
    return [
        (step.t_ns, step.host, "other", None, size, source)
        for source, size in readings
        if size is not None
    ]


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def decisions_table(decisions: Sequence[Decision]) -> pa.Table:
    """Make a row per decision: time, kind, and its numbers as a JSON object."""
    return pa.table(
        {
            "t_ns": pa.array([each.t_ns for each in decisions], pa.int64()),
            "kind": [each.kind for each in decisions],
            "numbers": [json.dumps(dict(each.numbers)) for each in decisions],
        }
    )
