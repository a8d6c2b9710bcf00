"""Work on cores that share caches and memory."""

from __future__ import annotations

import pytest

from systems.simulation.clock import Clock
from systems.simulation.cores import Cores


@pytest.mark.parametrize(("jobs", "expected"), [(1, 1.0), (2, 1.1), (4, 2.2)])
def test_a_busy_core_slows_the_others_down(jobs: int, expected: float) -> None:
    clock = Clock()
    cores = Cores(clock, 2, beside=0.1)
    ends: list[int] = []
    for _ in range(jobs):
        cores.start(1000, lambda: ends.append(clock.now))
    clock.run()
    assert ends == pytest.approx([1000 * expected] * jobs, abs=1)
