"""Series of the memory of processes: whose they are, and which are flat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

from .device_memory import Reading
from .process_series import Held, Processes, sample, series
from .process_tree import role_of
from .slopes import slope
from .soak import _keep
from .soak_plan import Plan, Sample, Watched
from .soak_record import record
from .target import ON_CPU

COUNT = 60
Of = Callable[[int], float]


def flat(number: int) -> float:
    return 1000.0 + (number % 3)


def grows(number: int) -> float:
    return 1000.0 + 2 * number


def found(device: Of, host: Of = flat, rest: Of = flat) -> dict[str, Any]:
    """The series of a shared instance of process 7, of a parser every second sample, and of an
    instance that ends early."""

    def held(number: int) -> tuple[Held, ...]:
        always = Held(7, "instance", host(number), device(number))
        parser = Held(100 + number, "parser", 20.0, 0.0)
        short = Held(8, "instance", 300.0, 600.0)
        return (always, *([parser] if number % 2 else []), *([short] if number < 20 else []))

    samples = [Processes(5.0 * n, held(n), rest(n), 0.0) for n in range(COUNT)]
    return series(samples, 5.0 * COUNT, slope)


def test_a_process_that_stays_has_a_series_and_others_one_for_their_role() -> None:
    assert set(found(flat)) == {
        "host: instance 1", "host: instances", "host: parsers",
        "device: instance 1", "device: instances", "device: no process",
    }  # fmt: skip
    assert all(each["flat"] for each in found(flat).values())
    assert found(flat)["host: parsers"]["n"] == COUNT // 2
    assert found(flat)["device: instances"]["median"] == 600.0


def test_a_process_that_takes_more_and_more_is_not_flat() -> None:
    for told, name in (
        (found(grows), "device: instance 1"),
        (found(flat, host=grows), "host: instance 1"),
        (found(flat, rest=grows), "device: no process"),
    ):
        assert [each for each, one in told.items() if not one["flat"]] == [name]
        assert 110 < told[name]["growth"] < 125


def test_what_is_left_of_each_process_of_a_role_is_not_flat() -> None:
    """Each next process of a role holds more than the one before."""
    samples = [
        Processes(5.0 * n, (Held(n, "loader", 50.0, grows(n)),), 0.0, 0.0) for n in range(COUNT)
    ]
    told = series(samples, 5.0 * COUNT, slope)
    assert not told["device: loaders"]["flat"]
    assert told["host: loaders"]["flat"]


def test_memory_that_a_process_allocates_is_judged_and_what_others_map_is_not() -> None:
    """The unique set size grows as other programs end."""

    def told(anonymous: Of, unique: Of) -> dict[str, Any]:
        nobody = Processes(0.0, (), 0.0, 0.0)
        samples = [
            Sample(5.0 * n, anonymous(n), 300.0, unique(n), 12.0, 30, nobody) for n in range(COUNT)
        ]
        plan = Plan(5.0, 4, 1.0, 0, ON_CPU, "function", 2, "uniform", 2.0)
        return record(plan, Watched([], samples, 5.0 * COUNT))

    assert told(flat, grows)["flat"]
    assert told(flat, grows)["series"]["gateway_mb"]["growth"] > 90
    assert not told(grows, flat)["flat"]


def test_a_soak_that_was_interrupted_says_how_long_it_ran() -> None:
    sample = Sample(1.0, 45.0, 300.0, 50.0, 60.0, 30, Processes(1.0, (), 0.0, 12.5))
    plan = Plan(60.0, 4, 1.0, 0, ON_CPU, "backbone", 2, "zipf", 2.0)
    told = record(plan, Watched([], [sample], 90.0, interrupted=True, unfinished=3))
    assert (told["minutes"], told["minutes_planned"]) == (1.5, 60.0)
    assert told["interrupted"]
    assert told["unfinished"] == 3
    assert told["series"] == {}, "one sample shows no growth"
    assert told["of_ended_mb"] == {"mean": 12.5, "most": 12.5}


def test_samples_are_kept_a_line_each(tmp_path: Path) -> None:
    held = Held(7, "loader", 20.0, 600.0)
    _keep(
        [Sample(1.0, 45.0, 300.0, 50.0, 60.0, 30, Processes(1.0, (held,), 9.0, 0.0))],
        tmp_path / "samples",
    )
    (line,) = (tmp_path / "samples").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["processes"]["held"] == [
        {"pid": 7, "role": "loader", "host": 20.0, "device": 600.0}
    ]


def test_a_sample_has_the_children_of_a_template_with_what_the_device_counts_for_each() -> None:
    command = [sys.executable, "-c", "print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        role = role_of(child.pid)
        reading = Reading({child.pid: 5_000_000, os.getpid(): 7_000_000}, 20_000_000)
        seen = sample(1.0, [os.getpid()], reading)
        child.kill()
    (held,) = (each for each in seen.held if each.pid == child.pid)
    assert (held.role, held.device) == (role, 5.0)
    assert held.host > 1
    assert (seen.rest, seen.ended) == (8.0, 0.0)
    assert sample(2.0, [os.getpid()], reading).ended == 5.0, "the driver still counts it"
