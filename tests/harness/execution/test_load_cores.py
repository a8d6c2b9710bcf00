"""Load workers have cores of their own, if asked for, and the system gets the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.execution.load_cores import apart
from harness.replay.plan import Plan

ALL = os.sched_getaffinity(0)
TELL = "import os; print(sorted(os.sched_getaffinity(0)))"


@pytest.mark.skipif(len(ALL) < 2, reason="one core here")
def test_what_is_started_meanwhile_keeps_off_the_cores_of_the_load() -> None:
    with apart(1) as own:
        assert own == (max(ALL),)
        told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True)
        assert told.stdout.strip() == str(sorted(ALL - set(own)))
    assert os.sched_getaffinity(0) == ALL
    with apart(0) as own:
        assert own == ()
        assert os.sched_getaffinity(0) == ALL


@pytest.mark.parametrize("count", [len(ALL), len(ALL) + 3])
def test_the_system_must_be_left_a_core(count: int) -> None:
    why = rf"load_cores: {count} of {len(ALL)} cores leave none"
    with pytest.raises(HarnessError, match=why), apart(count):
        pass
    assert os.sched_getaffinity(0) == ALL


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        ((4, 5, 6, 7), 2, [(4, 6), (5, 7)]),
        ((4, 5, 6), 2, [(4, 6), (5,)]),
        ((7,), 2, [(7,), (7,)]),
        ((), 2, [(), ()]),
    ],
)
def test_workers_are_dealt_the_cores(
    cores: tuple[int, ...], workers: int, expected: list[tuple[int, ...]]
) -> None:
    plan = Plan(
        schedule=Path("s"), base_url="http://x", out_dir=Path("o"), workers=workers, timeout_s=1,
        lead_s=1, cores=cores,
    )  # fmt: skip
    assert [plan.cores_of(worker) for worker in range(workers)] == expected
