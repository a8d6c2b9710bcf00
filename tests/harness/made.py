"""A small run made by hand, so that tests can check records against known input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness import metrics
from harness.cells import tables as cell_tables
from harness.cost import bill, price_sheet
from harness.records import Cell, Manifest, Run, new_run, write_cell
from systems.interface import (
    Activity,
    Deployment,
    Device,
    Function,
    MemoryOwner,
    MemoryStep,
    RequestTrace,
    Span,
    Stage,
    StartType,
    SystemTrace,
)

MS = 1_000_000
START = 5_000 * MS
END = 2_000 * MS

DEPLOYMENT = Deployment(
    functions=(
        Function(id="A", backbone="tiny", slo_ttft_s=0.5),
        Function(id="B", backbone="tiny", slo_ttft_s=0.5),
    ),
    backbones={"tiny": Path("tiny")},
    devices=(Device(name="cpu:0", memory_bytes=1 << 30),),
)


def client() -> pa.Table:
    """Make the client's table: A answers after a cold and then a hot start, B fails. Times are
    relative to the start of the run."""
    columns: dict[str, Any] = {
        "request_id": [0, 1, 2],
        "function_id": ["A", "A", "B"],
        "scheduled_ns": [0, 1000 * MS, 1500 * MS],
        "sent_ns": [1 * MS, 1000 * MS, 1500 * MS],
        "first_byte_ns": [701 * MS, 1100 * MS, None],
        "first_token_ns": [701 * MS, 1100 * MS, None],
        "last_token_ns": [901 * MS, 1300 * MS, None],
        "end_ns": [902 * MS, 1301 * MS, 1600 * MS],
        "prompt_tokens": [8, 8, None],
        "output_tokens": [5, 5, None],
        "wanted_output_tokens": [5, 5, 5],
        "status": ["ok", "ok", "http_5xx"],
        "error": [None, None, "instance lost"],
    }
    types = {"function_id": pa.string(), "status": pa.string(), "error": pa.string()}
    narrow = {"prompt_tokens", "output_tokens", "wanted_output_tokens"}
    return pa.table(
        {
            name: pa.array(values, types.get(name, pa.int32() if name in narrow else pa.int64()))
            for name, values in columns.items()
        }
    )


def system_trace() -> SystemTrace:
    """Make the system trace of the same requests, in absolute times."""

    def at(ms: int) -> int:
        return START + ms * MS

    cold = (
        Span(Stage.WARMING, at(2), at(102)),
        Span(Stage.LIBRARIES, at(102), at(402)),
        Span(Stage.BACKBONE, at(402), at(502)),
        Span(Stage.PREFILL, at(502), at(700)),
        Span(Stage.DECODE, at(700), at(900)),
    )
    hot = (
        Span(Stage.QUEUE, at(1001), at(1002)),
        Span(Stage.PREFILL, at(1002), at(1099)),
        Span(Stage.DECODE, at(1099), at(1299)),
    )
    return SystemTrace(
        requests=(
            RequestTrace("0", "A", at(2), at(901), StartType.COLD, "0", 1, cold),
            RequestTrace("1", "A", at(1001), at(1300), StartType.HOT, "0", 1, hot),
        ),
        memory=(
            MemoryStep(at(2), "cpu:0", MemoryOwner.WEIGHTS, None, 100_000_000),
            MemoryStep(at(2), "cpu:0", MemoryOwner.KV, "A", 10_000_000),
            MemoryStep(at(1500), "cpu:0", MemoryOwner.KV, "A", 0),
        ),
        activity=(Activity(at(502), at(900), "cpu:0", "0", "A"),),
    )


def tables(told: SystemTrace | None = None) -> dict[str, pa.Table]:
    """Make the tables of a cell. ``told``: the system trace; default: ``system_trace()``."""
    seen = cell_tables.relative(system_trace() if told is None else told, START)
    return {
        "requests": cell_tables.requests_table(client(), seen, DEPLOYMENT),
        "spans": cell_tables.spans_table(client(), seen),
        "memory": cell_tables.memory_table(seen.memory, [], START, END),
        "billing": bill(
            seen.memory, seen.activity, {"A": 2, "B": 1}, price_sheet("alibaba-fc"),
            end_ns=END, threads=1,
        ),
    }  # fmt: skip


def unseen_tables() -> dict[str, pa.Table]:
    """Make the tables of an external endpoint, which has no system trace and no bill."""
    found = tables(SystemTrace())
    return found | {"billing": found["billing"].slice(0, 0)}


def cut_tables() -> dict[str, pa.Table]:
    """Make the same tables, but of the failed request's answer there was a beginning."""
    found = tables()
    requests = found["requests"]
    for name, at_ms in (("first_byte_ns", 1520), ("first_token_ns", 1520), ("last_token_ns", 1560)):
        values = requests[name].to_pylist()[:-1]
        column = pa.array([*values, at_ms * MS], requests[name].type)
        requests = requests.set_column(requests.column_names.index(name), name, column)
    return found | {"requests": requests}


def manifest(run: Run, system: str, workload: str = "time-breakdown") -> Manifest:
    return Manifest(
        run_id=run.id,
        mode="live",
        experiment="made",
        system={"name": system},
        workload={"name": workload},
        schedule_sha256="0",
        deployment=DEPLOYMENT.model_dump(mode="json"),
        seed=0,
        prices={"name": "alibaba-fc"},
        started_at="2026-01-01T00:00:00+00:00",
        valid=True,
    )


def made_run(root: Path, systems: tuple[str, ...] = ("serverless-lora", "serverless-llm")) -> Run:
    run = new_run({"name": "made"}, root)
    for system in systems:
        made_cell(run, system)
    return run


SOUND: Mapping[str, Any] = {
    "n": 3, "ok": 3, "duration_s": 1.0, "cost_usd": 0.0, "cost_effectiveness": None,
}  # fmt: skip
"""What every summary must have."""


def made_cell(
    run: Run, label: str, content: Mapping[str, pa.Table] | None = None, **more: Any
) -> Cell:
    """Write a cell with the tables ``content``, default ``tables()``. ``more`` replaces values of
    its manifest."""
    content = content or tables()
    about = manifest(run, label).model_copy(update=more)
    path = run.path / label / "time-breakdown" / str(about.seed)
    return write_cell(path, about, content, metrics.summary(content, END / 1e9))
