"""The shapes of an engine, and what an idle process prepares of them."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import pytest

from systems.engine.cuda.prompts import shapes_alone, shapes_together
from systems.models.sizes import model_size
from systems.runtime.preparation_pace import ARRIVAL_S, PATIENCE_S
from systems.simulation.clock import Clock, Shared
from systems.simulation.engine_numbers import Graphs
from systems.simulation.latency_model import LatencyModel
from systems.simulation.number import Number
from systems.simulation.passes import passes
from systems.simulation.preparer import Preparer
from systems.simulation.profile import load_profile
from systems.simulation.shapes import TWICE, Shapes, _preparations
from systems.simulation.work import Work
from systems.simulation.worker import Worker

MS = 1_000_000


def number(milliseconds: float) -> Number:
    return Number(value=milliseconds / 1e3, kind="measured", source="chosen for a test")


GRAPHS = Graphs(first_s=number(23), capture_s=number(8), prepare_s=number(20))
CALLS = 35
"""What an engine of :func:`shapes` prepares, without the first call."""
MIXED = 6
"""Of its shapes, those of mixed passes."""
H100 = LatencyModel(load_profile("h100"), model_size("llama2-7b", "float16", 16, "cuda"))


def shapes(first_prompt_s: float | None = None) -> Shapes:
    return Shapes(GRAPHS, 8, 512, first_prompt_s)


def test_a_shape_takes_longer_at_its_first_use_and_at_its_second() -> None:
    there = shapes()
    assert [there.prompts_ns(passes([100], pads=True)) / MS for _ in range(3)] == [23, 8, 0]
    assert there.prompts_ns(passes([60], pads=True)) / MS == 8, "the kernels artifact ran it once"
    assert there.steps_ns(3, 10) / MS == 31
    assert there.steps_ns(4, 1) == 0, "the same shape"
    assert there.steps_ns(5, 1) / MS == 23, "eight rows"


def test_one_shape_serves_one_prompt_and_several() -> None:
    there = shapes()
    found = [there.prompts_ns(passes(each, pads=True)) / MS for each in ([150], [10, 65], [10] * 3)]
    assert found == [23, 8, 0], "three tiles each"


def test_what_several_prompts_alone_need_is_prepared_after_one_prompt_and_steps() -> None:
    there = shapes()
    assert there.unprepared == CALLS
    there.prepared(CALLS - (2 + MIXED) * TWICE)
    assert there.steps_ns(8, 300) == 0
    assert there.prompts_ns(passes([511], pads=True)) == 0
    assert there.prompts_ns(passes([1, 65, 200, 100], pads=True)) / MS == 23, "nine tiles"
    there.prepared(TWICE)
    assert there.prompts_ns(passes([1, 65, 200, 100], pads=True)) == 0
    assert there.prompts_ns(passes([511, 511], pads=True)) / MS == 23


@pytest.mark.parametrize("limits", [(1, 64), (1, 300), (2, 300), (4, 66), (8, 512), (64, 2048)])
def test_prompt_shapes_are_prepared_in_the_order_of_the_engine(limits: tuple[int, int]) -> None:
    engine = [shapes_alone(limits[1]), shapes_together(*limits)]
    expected = [[each[0] for each in shapes for _ in range(TWICE)] for shapes in engine]
    found = [
        [tokens for _, tokens in calls]
        for kind, calls in groupby(_preparations(*limits, mixed=True), itemgetter(0))
        if kind == "prompts"
    ]
    assert found == [each for each in expected if each], "before the steps and after"


def test_the_first_prompt_of_a_process_takes_longest() -> None:
    there = shapes(first_prompt_s=0.077)
    assert there.prompts_ns(passes([500], pads=True)) / MS == pytest.approx(77)
    assert there.prompts_ns(passes([200], pads=True)) / MS == 23


def test_what_was_prepared_takes_no_longer() -> None:
    there = shapes(first_prompt_s=0.077)
    there.prepared(there.unprepared)
    assert there.prompts_ns(passes([500], pads=True)) == 0
    assert there.steps_ns(8, 300) == 0


class Process:
    """An idle process with ``CALLS`` calls of 20 ms to prepare."""

    def __init__(self, *, allowed: bool) -> None:
        self.clock = Clock()
        self.device = Shared(self.clock, 1)
        self.preparer = Preparer(self.clock, self.device, shapes())
        self.preparer.allow(allowed)
        self.worker = Worker(
            self.clock, self.device, H100, lambda *_: None, lambda _: None, preparer=self.preparer
        )
        self.worker.rest()

    def left_at(self, seconds: float) -> int:
        self.clock.run_until(round(seconds * 1e9))
        return self.preparer.shapes.unprepared

    def ask(self) -> Work:
        """Send a request now and return it, finished."""
        work = Work(0, 500, 1)
        self.worker.run(0, [work])
        self.clock.run_until(self.clock.now + 200 * MS)
        return work


def test_an_idle_process_prepares_everything_on_an_idle_device() -> None:
    assert Process(allowed=True).left_at(ARRIVAL_S + CALLS * 0.020 + 0.001) == 0


def test_beside_work_it_prepares_a_shape_a_second() -> None:
    process = Process(allowed=False)
    assert process.left_at(PATIENCE_S * 5.5) == CALLS - 5
    process.preparer.allow(True)
    assert process.left_at(PATIENCE_S * 5.5 + (CALLS - 5) * 0.020 + 0.1) == 0


def test_a_request_waits_for_the_call_that_runs_and_for_no_other() -> None:
    process = Process(allowed=True)
    process.left_at(ARRIVAL_S + 0.045)  # 5 ms into the third call
    work = process.ask()
    assert work.prefill_ns == pytest.approx(round((ARRIVAL_S + 0.060) * 1e9), abs=2)
    assert process.left_at(2.0) == 0, "and it goes on afterwards"


def test_a_request_to_an_unprepared_engine_takes_longer_than_to_a_prepared_one() -> None:
    early, late = Process(allowed=True), Process(allowed=True)
    early.left_at(0.001)
    late.left_at(2.0)
    first, other = early.ask(), late.ask()
    assert first.first_ns - first.prefill_ns == pytest.approx(
        other.first_ns - other.prefill_ns + 23 * MS, abs=2
    )


def test_an_ended_process_prepares_nothing() -> None:
    process = Process(allowed=True)
    process.left_at(0.1)
    process.worker.drop_engine()
    left = process.preparer.shapes.unprepared
    assert process.left_at(5.0) == left
    assert process.preparer.complete


def test_it_slows_down_when_others_begin_to_work() -> None:
    process = Process(allowed=True)
    process.left_at(ARRIVAL_S + 0.045)
    process.preparer.allow(False)
    assert process.left_at(ARRIVAL_S + 0.061) == CALLS - 3, "the call that runs ends"
    assert process.left_at(ARRIVAL_S + 0.061 + 2.5 * PATIENCE_S) == CALLS - 5
