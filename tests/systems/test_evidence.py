"""A malformed system trace is refused in one line, and never used for computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from systems import system_trace
from systems.errors import SystemTraceError
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
from systems.runtime.journal import Journal, read

SPAN = Span(Stage.PREFILL, 5, 9)
WHOLE = SystemTrace(
    requests=(RequestTrace("0", "f0", 1, 10, StartType.HOT, "0", 1, (SPAN,), 4, 9),),
    memory=(MemoryStep(3, "cpu:0", MemoryOwner.KV, None, 100),),
    activity=(Activity(4, 9, "cpu:0", "0", "f0", 2),),
    processor=(ProcessorUse(4, 9, "cpu:0", "0", "f0", 7),),
    decisions=(Decision(4, "place", {"value": 0.5}),),
    problems=("one instance ended",),
    measured={"startup_s": 1.5},
    isolation_gaps=("memory is not locked",),
    nodes=(NodeSeen("n1", "10.0.0.1:7000", ("cpu:0",), 1, 9, "left", False, 5, 2, 3),),
    node_memory=(NodeMemoryStep(3, "n1", 200, None),),
)
REQUEST, STEP, ACTIVITY = WHOLE.requests[0], WHOLE.memory[0], WHOLE.activity[0]


def with_request(**fields: Any) -> SystemTrace:
    return replace(WHOLE, requests=(replace(REQUEST, **fields),))


def with_span(start_ns: Any, end_ns: Any) -> SystemTrace:
    return with_request(spans=(Span(Stage.PREFILL, start_ns, end_ns),))


WRONG: dict[str, tuple[SystemTrace, str]] = {
    "a word": (with_span("x", 9), r"requests\[0\]\.spans\[0\]\.start_ns: "),
    "not a number": (with_span(5, float("nan")), r"requests\[0\]\.spans\[0\]\.end_ns: "),
    "too large": (with_request(received_ns=10**30), r"requests\[0\]\.received_ns: .* less than"),
    "a truth": (with_request(placed_ns=True), r"requests\[0\]\.placed_ns: "),
    "backwards": (with_span(9, 5), r"requests\[0\]\.spans\[0\]\.end_ns: is before start_ns"),
    "a whole as a fraction": (
        replace(WHOLE, memory=(replace(STEP, t_ns=3.0),)), r"memory\[0\]\.t_ns: ",
    ),
    "no bytes": (replace(WHOLE, memory=(replace(STEP, bytes=None),)), r"memory\[0\]\.bytes: "),
    "activity": (
        replace(WHOLE, activity=(ACTIVITY, replace(ACTIVITY, end_ns="x"))),
        r"activity\[1\]\.end_ns: ",
    ),
    "measured": (replace(WHOLE, measured={"startup_s": float("inf")}), r"measured\.startup_s: inf"),
}  # fmt: skip


def test_evidence_as_its_types_say_is_taken() -> None:
    assert system_trace.check(WHOLE, "a system") is WHOLE


@pytest.mark.parametrize(("wrong", "words"), WRONG.values(), ids=WRONG)
def test_evidence_of_another_type_is_refused_in_one_line(wrong: SystemTrace, words: str) -> None:
    with pytest.raises(SystemTraceError, match=r"^a system: system trace: " + words) as refused:
        system_trace.check(wrong, "a system")
    assert "\n" not in str(refused.value)


WRITE: dict[str, Callable[[Journal, SystemTrace], None]] = {
    "request": lambda written, seen: written.request(seen.requests[0]),
    "memory": lambda written, seen: written.memory(seen.memory[0]),
    "activity": lambda written, seen: written.activity(seen.activity[0]),
    "processor": lambda written, seen: written.processor(seen.processor[0]),
    "decision": lambda written, seen: written.decision(seen.decisions[0]),
    "problem": lambda written, seen: written.problem(seen.problems[0]),
    "measured": lambda written, seen: written.measured("startup_s", seen.measured["startup_s"]),
    "isolation_gap": lambda written, seen: written.isolation_gap(seen.isolation_gaps[0]),
    "node": lambda written, seen: written.node(seen.nodes[0]),
    "node_memory": lambda written, seen: written.node_memory(seen.node_memory[0]),
}


def test_a_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    written = Journal(tmp_path / "journal.jsonl")
    for write in WRITE.values():
        write(written, WHOLE)
    written.close()
    assert system_trace.check(read(tmp_path / "journal.jsonl"), "a system") == WHOLE


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", "5", "{}", '{"kind":"gift"}', '{"kind":"memory","t_ns":1}',
     '{"kind":"request","spans":[["prefill",1]]}', '{"kind":"request","spans":[["nap",1,2]]}',
     "[" * 100_000, '{"kind":"memory","t_ns":' + "9" * 5_000 + "}", "\udcff"],
)  # fmt: skip
def test_a_line_that_no_journal_writes_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    good = b'{"kind":"problem","text":"one"}\n'
    path.write_bytes(good + line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(SystemTraceError, match=r"^journal\.jsonl, line 2: is not a journal line"):
        read(path)
