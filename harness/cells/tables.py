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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.cost.busy import Times
from harness.cost.holdings import Holder, Sizes, by_holder
from harness.records.schema import HOST, MEMORY, REQUESTS, SPANS
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
    names = [name for name in _FROM_CLIENT if name in client.column_names]
    columns: dict[str, Any] = {
        **{name: client[name] for name in names},
        **_of_functions(client["function_id"], deployment),
        **_of_system(client["request_id"], system_trace),
    }
    return pa.table(
        [columns.get(field.name, pa.nulls(len(client), field.type)) for field in REQUESTS],
        schema=REQUESTS,
    )


def _of_functions(called: pa.ChunkedArray, deployment: Deployment) -> dict[str, pa.Array]:
    """Return the columns that follow from the function of each request."""
    functions = deployment.functions
    rows = pc.index_in(called.combine_chunks(), pa.array([each.id for each in functions]))
    columns = {
        "adapter_id": [each.adapter_id for each in functions],
        "backbone": [each.backbone for each in functions],
        "tenant": [each.tenant for each in functions],
        "slo_ttft_ns": [_ns(each.slo_ttft_s) for each in functions],
        "slo_tpot_ns": [_ns(each.slo_tpot_s) for each in functions],
        "slo_e2e_ns": [_ns(each.slo_e2e_s) for each in functions],
    }
    return {
        name: pa.array(values, REQUESTS.field(name).type).take(rows)
        for name, values in columns.items()
    }


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)


_FROM_SYSTEM = (
    "start_type", "instance_id", "batch_size", "received_ns", "responded_ns", "placed_ns",
    "done_ns",
)  # fmt: skip


def _of_system(requests: pa.ChunkedArray, system_trace: SystemTrace) -> dict[str, Any]:
    """Return the columns that the system reported of each request."""
    seen = {request.request_id: request for request in system_trace.requests}
    said = [seen.get(str(request)) for request in requests.to_pylist()]
    columns: dict[str, Any] = {
        name: [None if each is None else getattr(each, name) for each in said]
        for name in _FROM_SYSTEM
    }
    homes = {each.instance_id: each.device for each in system_trace.activity}
    return {**columns, "device": [homes.get(instance) for instance in columns["instance_id"]]}


def spans_table(client: pa.Table, system_trace: SystemTrace) -> pa.Table:
    """Make a row per stage of every request of the schedule that the system traced."""
    known = {str(request) for request in client["request_id"].to_pylist()}
    traced = [request for request in system_trace.requests if request.request_id in known]
    spans = [span for request in traced for span in request.spans]
    columns: dict[str, Any] = {
        "request_id": np.repeat(
            np.array([int(request.request_id) for request in traced], np.int64),
            [len(request.spans) for request in traced],
        ),
        "stage": [span.stage for span in spans],
        "start_ns": [span.start_ns for span in spans],
        "end_ns": [span.end_ns for span in spans],
    }
    return pa.table(columns, schema=SPANS)


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
    grid = np.arange(0, end_ns + 1 if gridded else 0, GRID_NS)
    parts = [
        *(_sampled(holder, sizes, end_ns, grid) for holder, sizes in by_holder(ledger).items()),
    ]
    outside = chain(
        chain.from_iterable(_measured(sample, sample.t_ns - start_ns) for sample in samples),
        chain.from_iterable(map(_measured_there, node_memory)),
    )
    table = pa.concat_tables([_table(list(outside), MEMORY), *parts])
    times = table["t_ns"].to_numpy()
    table = table.filter(pa.array((times >= 0) & (times <= end_ns)))
    # Rows without a function come first of those that are otherwise equal.
    column = MEMORY.names.index("function_id")
    known = table.set_column(column, "function_id", pc.fill_null(table["function_id"], ""))
    return table.take(pc.sort_indices(known, [(name, "ascending") for name in MEMORY.names]))


def _sampled(holder: Holder, sizes: Sizes, end_ns: int, grid: Times) -> pa.Table:
    """Make rows of what a holder of the ledger has at its changes and at the times of ``grid``."""
    device, owner, function = holder
    at, size = sizes
    times = np.union1d(grid, at[at <= end_ns])
    held = np.concatenate([[0], size])[np.searchsorted(at, times, side="right")]
    values = (times, device, owner.value, function, held, "ledger")
    columns = [
        value if isinstance(value, np.ndarray) else pa.repeat(pa.scalar(value, kind), len(times))
        for value, kind in zip(values, MEMORY.types, strict=True)
    ]
    return pa.table(columns, schema=MEMORY)


def _measured(sample: Sample, t_ns: int) -> list[tuple[Any, ...]]:
    """Make rows of a sample: the operating system measures processes, the driver devices. Only the
    ledger has the owners within them."""
    readings = [
        (HOST, sample.anonymous_bytes, "measured-anonymous"),
        (HOST, sample.pss_bytes, "measured-pss"),
        (HOST, sample.uss_bytes, "measured-uss"),
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
