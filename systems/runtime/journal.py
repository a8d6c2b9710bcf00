"""The journal of a platform: one JSON object per line, written at each event, so that after a crash
all lines but the last can be read. If the disk is full the platform continues to serve: it drops
whole lines and writes their number as soon as there is room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systems.errors import SystemTraceError, bounded_line
from systems.interface import (
    Activity,
    Decision,
    MemoryOwner,
    MemoryStep,
    NodeMemoryStep,
    NodeSeen,
    ProcessorUse,
    RequestTrace,
    Span,
    Stage,
    StartType,
    SystemTrace,
)

from .links.message import one_line
from .metrics import Metrics


class Journal:
    """Append-only and unbuffered: a reader sees every line written so far. ``metrics`` are told of
    requests and memory too."""

    def __init__(self, path: Path, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._lost = 0

    def request(self, system_trace: RequestTrace, tokens: int | None = None) -> None:
        """Write the end of a request. ``tokens``: of its answer, for the metrics alone."""
        if self._metrics is not None:
            self._metrics.ended(system_trace, tokens)
        spans = [(span.stage.value, span.start_ns, span.end_ns) for span in system_trace.spans]
        self._write(
            "request", **{name: getattr(system_trace, name) for name in _REQUEST}, spans=spans
        )

    def memory(self, step: MemoryStep) -> None:
        if self._metrics is not None:
            self._metrics.memory(step)
        self._write("memory", **{name: getattr(step, name) for name in MemoryStep.__slots__})

    def activity(self, activity: Activity) -> None:
        self._write("activity", **{name: getattr(activity, name) for name in Activity.__slots__})

    def processor(self, use: ProcessorUse) -> None:
        self._write("processor", **{name: getattr(use, name) for name in ProcessorUse.__slots__})

    def decision(self, decision: Decision) -> None:
        self._write(
            "decision", t_ns=decision.t_ns, name=decision.kind, numbers=dict(decision.numbers)
        )

    def node(self, seen: NodeSeen) -> None:
        """Write the state of a node; a later line replaces an earlier one."""
        self._write("node", **{name: getattr(seen, name) for name in NodeSeen.__slots__})

    def node_memory(self, step: NodeMemoryStep) -> None:
        fields = {name: getattr(step, name) for name in NodeMemoryStep.__slots__}
        self._write("node_memory", **fields)

    def problem(self, text: str) -> None:
        """Write a problem. It is shown in a terminal, and may quote a process or another machine:
        of ``text`` one line without control characters is kept."""
        self._write("problem", text=bounded_line(text))

    def measured(self, name: str, value: float) -> None:
        """Write a value of ``SystemTrace.measured``; the last value of a name counts."""
        self._write("measured", name=name, value=value)

    def isolation_gap(self, text: str) -> None:
        """As :meth:`problem`."""
        self._write("isolation_gap", text=bounded_line(text))

    def _write(self, kind: str, **fields: Any) -> None:
        if self._lost and self._append("problem", {"text": f"{self._lost} journal lines lost"}):
            self._lost = 0
        if self._lost or not self._append(kind, fields):
            self._lost += 1

    def _append(self, kind: str, fields: dict[str, Any]) -> bool:
        """Write a whole line or nothing; return whether it was written."""
        line = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode() + b"\n"
        try:
            written = self._file.write(line)
        except OSError:
            return False
        if written != len(line):
            self._file.truncate(self._size)
            return False
        self._size += len(line)
        return True

    def close(self) -> None:
        self._file.close()


_REQUEST = tuple(name for name in RequestTrace.__slots__ if name != "spans")


def read(path: Path) -> SystemTrace:
    """Read a whole journal, without an incomplete last line. Raise :class:`SystemTraceError` for a
    line that no journal writes."""
    found: dict[str, list[Any]] = {kind: [] for kind in _READERS}
    if path.exists():
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
            kind, item = _read_line(line, f"{path.name}, line {number}")
            found[kind].append(item)
    return SystemTrace(
        requests=tuple(found["request"]),
        memory=tuple(found["memory"]),
        activity=tuple(found["activity"]),
        processor=tuple({use.instance_id: use for use in found["processor"]}.values()),
        decisions=tuple(found["decision"]),
        problems=tuple(found["problem"]),
        measured=dict(found["measured"]),
        isolation_gaps=tuple(dict.fromkeys(found["isolation_gap"])),
        nodes=tuple({node.host: node for node in found["node"]}.values()),
        node_memory=tuple(found["node_memory"]),
    )


def _read_line(line: bytes, place: str) -> tuple[str, Any]:
    try:
        fields = json.loads(line)
        kind = fields.pop("kind")
        return kind, _READERS[kind](fields)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise SystemTraceError(f"{place}: is not a journal line ({reason})") from error


def _read_request(fields: dict[str, Any]) -> RequestTrace:
    spans = tuple(Span(Stage(stage), start, end) for stage, start, end in fields.pop("spans"))
    start_type = fields.pop("start_type")
    return RequestTrace(
        **fields, spans=spans, start_type=StartType(start_type) if start_type else None
    )


def _read_memory(fields: dict[str, Any]) -> MemoryStep:
    return MemoryStep(**{**fields, "owner": MemoryOwner(fields["owner"])})


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "request": _read_request,
    "memory": _read_memory,
    "decision": lambda fields: Decision(fields["t_ns"], fields["name"], fields["numbers"]),
    "activity": lambda fields: Activity(**fields),
    "processor": lambda fields: ProcessorUse(**fields),
    "node": lambda fields: NodeSeen(**{**fields, "devices": tuple(fields["devices"])}),
    "node_memory": lambda fields: NodeMemoryStep(**fields),
    "problem": lambda fields: fields["text"],
    "measured": lambda fields: (fields["name"], fields["value"]),
    "isolation_gap": lambda fields: fields["text"],
}
