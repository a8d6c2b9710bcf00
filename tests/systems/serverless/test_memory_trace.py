"""The memory steps of a trace."""

from __future__ import annotations

from itertools import count

from systems.interface import MemoryOwner, MemoryStep
from systems.serverless.core.memory import Holding
from systems.serverless.memory_trace import MemoryTrace

_KV = MemoryOwner.KV


def test_steps_sum_the_instances_of_a_group_at_the_times_of_their_changes() -> None:
    kept: list[MemoryStep] = []
    trace = MemoryTrace(count(1).__next__, kept.append)
    trace.note("d", Holding(_KV, 1, "f"), 10)
    trace.note("d", Holding(_KV, 2, "f"), 5)
    trace.note("e", Holding(_KV, 3, "f"), 7)
    assert not kept, "a decision does not wait for its steps"
    trace.write()
    trace.note("d", Holding(_KV, 1, "f"), -10)
    trace.note("d", Holding(_KV, 2, "f"), -5)
    trace.write()
    assert kept == [
        MemoryStep(1, "d", _KV, "f", 10),
        MemoryStep(2, "d", _KV, "f", 15),
        MemoryStep(3, "e", _KV, "f", 7),
        MemoryStep(4, "d", _KV, "f", 5),
        MemoryStep(5, "d", _KV, "f", 0),
    ]
