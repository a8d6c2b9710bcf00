"""What prefills would have taken alone, by the instances at work beside them."""

from __future__ import annotations

import pytest

from systems.serverless.core.contention import Contention


def test_the_clock_runs_at_the_speed_of_each_instance_at_work() -> None:
    clock = Contention(1)
    clock.began(1, 100)
    assert clock.read_ns(200) == 200, "alone"
    clock.began(2, 200)
    assert clock.read_ns(400) == 300, "half the device each"
    clock.began(3, 400)
    clock.ended(1, 700)
    assert clock.read_ns(700) == 400
    clock.ended(2, 700)
    assert clock.read_ns(1_000) == 700
    assert [*clock.at_work] == [3]


def test_instances_have_the_full_speed_while_slots_are_free() -> None:
    clock = Contention(2)
    for instance in (1, 2):
        clock.began(instance, 0)
    assert clock.read_ns(100) == 100
    clock.began(3, 100)
    assert clock.read_ns(250) == pytest.approx(200)


def test_an_instance_counts_once_however_often_it_begins() -> None:
    clock = Contention(1)
    clock.began(1, 0)
    clock.began(1, 10)
    assert clock.with_work_of(1) == 1
    assert clock.with_work_of(2) == 2
    clock.ended(1, 20)
    clock.ended(1, 30)
    assert clock.with_work_of(2) == 1
