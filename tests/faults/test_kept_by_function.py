"""What a gateway keeps of each function that was ever called: little, and not its busy state."""

from __future__ import annotations

from collections.abc import Iterable

from systems.interface import RequestTrace, Span, Stage, StartType
from systems.runtime.metrics import Metrics
from systems.serverless.simulated.platform import Platform
from systems.simulation.arrival import Arrival
from tests.benchmarks.test_decisions import platform

from .reachable import reachable_bytes

S = 1_000_000_000
BEFORE, FUNCTIONS = 50, 250
CORE_BYTES = 3_000
"""The request rate, the estimates, the queue and the value of what its instances hold."""
METRICS_BYTES = 400
"""Numbers and labels, no objects."""


def called(target: Platform, numbers: Iterable[int]) -> None:
    """Call each function once, alone, and wait for the end of its instance."""
    for number in numbers:
        target.clock.run_until(60 * S * number)
        target.submit(Arrival(number, 60 * S * number, f"f{number}", 128, 16))
    target.clock.run()
    assert not target.controller.state.instances
    assert all(call.status == "ok" for call in target.calls.values())


def kept_by_core(target: Platform) -> int:
    """Return the bytes of the controller, without the simulated platform and trace around it."""
    return reachable_bytes(target.controller, without=[target, target._memory])


def test_a_function_that_was_called_takes_little_memory_of_the_core() -> None:
    target = platform(FUNCTIONS, devices=2)
    called(target, range(BEFORE))
    before = kept_by_core(target)
    called(target, range(BEFORE, FUNCTIONS))
    assert kept_by_core(target) - before <= CORE_BYTES * (FUNCTIONS - BEFORE)
    held_for = {group for _, _, group in target._memory._held}
    assert held_for <= {None}, "nothing is summed for functions without instances"


def ended(function: str) -> RequestTrace:
    spans = (Span(Stage.PREFILL, 2 * S, 3 * S), Span(Stage.DECODE, 3 * S, 4 * S))
    return RequestTrace(
        "1", function, received_ns=S, responded_ns=4 * S, start_type=StartType.COLD, spans=spans
    )


def counted(metrics: Metrics, numbers: Iterable[int]) -> None:
    for number in numbers:
        metrics.received(f"f{number}")
        metrics.ended(ended(f"f{number}"), tokens=8)


def test_a_function_that_was_called_takes_little_memory_of_the_metrics() -> None:
    metrics = Metrics()
    counted(metrics, range(BEFORE))
    before = reachable_bytes(metrics)
    counted(metrics, range(BEFORE, FUNCTIONS))
    assert reachable_bytes(metrics) - before <= METRICS_BYTES * (FUNCTIONS - BEFORE)
