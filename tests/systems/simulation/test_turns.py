"""Work on a device whose processes take turns."""

from __future__ import annotations

import pytest

from systems.simulation.clock import Clock, Job
from systems.simulation.turns import BATCH, Jobs, Kind, take_turns

START = Kind(share=0.12, waits=1.8)


class Device:
    """One with batches and starts; ``ends`` has the time at which each job ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.batches, self.starts = take_turns(self.clock, (BATCH, START))
        self.ends: dict[str, int] = {}

    def run(self, name: str, jobs: Jobs, work_ns: float, hidden: float = 0.0) -> Job:
        return jobs.start(work_ns, lambda: self.ends.update({name: self.clock.now}), hidden)


def test_batches_slow_each_other_down_by_their_number() -> None:
    device = Device()
    for name in "abcd":
        device.run(name, device.batches, 1000)
    device.clock.run()
    assert set(device.ends.values()) == {4000}


@pytest.mark.parametrize("others", [1, 2, 3])
def test_a_start_waits_for_each_turn_and_takes_little(others: int) -> None:
    """As in results/reference/start-beside-h100.json: (1 + 1.8 M)·T and M + 0.12 steps."""
    device = Device()
    device.run("start", device.starts, 1000)
    for number in range(others):
        device.run(f"batch {number}", device.batches, 1e6)
    device.clock.run_until(round(1000 * (1 + 1.8 * others)) + 1)
    assert device.ends["start"] == pytest.approx(1000 * (1 + 1.8 * others), abs=1)
    slowed_ns = device.ends["start"] * 0.12
    device.clock.run()
    assert device.ends["batch 0"] == pytest.approx(others * 1e6 + slowed_ns, rel=1e-3)


def test_a_start_is_as_fast_as_alone_once_the_others_are_done() -> None:
    device = Device()
    device.run("batch", device.batches, 1000)
    device.run("start", device.starts, 1000)
    device.clock.run()
    assert device.ends["batch"] == 1120
    assert device.ends["start"] == pytest.approx(1120 + 1000 - 1120 / 2.8, abs=1)


def test_a_cancelled_job_no_longer_slows_the_others_down() -> None:
    device = Device()
    job = device.batches.start(10_000, lambda: None)
    device.run("start", device.starts, 1000)
    device.clock.run_until(280)
    assert device.batches.cancel(job) == pytest.approx(10_000 - 280 / 1.12)
    device.clock.run()
    assert device.ends["start"] == pytest.approx(280 + 900, abs=1)


def test_what_others_hide_takes_time_alone_and_none_beside_them() -> None:
    device = Device()
    device.run("first", device.batches, 1000, hidden=0.2)
    device.clock.run_until(500)
    device.run("second", device.batches, 1000, hidden=0.2)
    device.clock.run()
    # 400 of the first are left, at half the speed; then half of the second, alone.
    assert device.ends == {"first": 500 + 800, "second": 500 + 800 + 500}


def test_a_cancelled_job_tells_its_work_with_what_others_hid() -> None:
    device = Device()
    job = device.run("cancelled", device.batches, 1000, hidden=0.2)
    device.run("other", device.batches, 1000, hidden=0.2)
    device.clock.run_until(500)
    assert device.batches.cancel(job) == pytest.approx(550 / 0.8)
    device.clock.run()
    assert device.ends == {"other": pytest.approx(500 + 550 / 0.8, abs=1)}


def test_a_start_hides_nothing_of_a_batch() -> None:
    device = Device()
    device.run("batch", device.batches, 1000, hidden=0.2)
    device.run("start", device.starts, 10_000)
    device.clock.run()
    assert device.ends["batch"] == 1120
