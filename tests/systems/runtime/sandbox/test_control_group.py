"""A control group bounds the host memory of a process, whatever addresses it reserves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from systems.runtime.sandbox import control_group, measures

pytestmark = pytest.mark.skipif(
    not control_group.available(), reason="no control group (version 2) bounds memory here"
)

MOST = 128 << 20


def status_of(work: Callable[[], object]) -> tuple[int, int]:
    """Run ``work`` in a fork; return its process id and its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def take(nbytes: int) -> None:
    assert len(bytearray(nbytes)) == nbytes


def groups() -> set[Path]:
    home = control_group._home()
    assert home is not None
    return set(home.glob("slbench-*"))


def test_a_process_that_takes_more_than_its_bound_is_killed() -> None:
    """It sets its bound without capabilities, as an instance does."""

    def settle() -> None:
        control_group.enter()
        measures.keep_capabilities()
        control_group.bound(MOST)

    def greedy() -> None:
        settle()
        take(8 * MOST)

    def modest() -> None:
        settle()
        take(MOST // 4)

    for work, expected in ((modest, 0), (greedy, -signal.SIGKILL)):
        pid, status = status_of(work)
        control_group.remove(pid)
        assert status == expected


def test_no_group_is_left() -> None:
    pid, status = status_of(control_group.enter)
    assert status == 0
    assert any(group.name.endswith(f"-{pid}") for group in groups())
    control_group.sweep()
    assert not any(group.name.endswith(f"-{pid}") for group in groups())
