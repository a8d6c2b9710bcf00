"""Live runs at once on one machine, which each of them tells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.execution import neighbours

RUN = """
import sys
from harness.execution import neighbours
with neighbours.told() as beside:
    print("goes on", flush=True)
    sys.stdin.readline()
    print(len(beside()))
"""


@contextmanager
def another() -> Iterator[subprocess.Popen[str]]:
    """A live run of another process, until the end of its standard input."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "goes on\n"
        yield run


def end(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate("\n")
    return said.strip()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path))
    return tmp_path


def test_a_run_that_is_alone_has_no_warning() -> None:
    for _ in range(2):
        with neighbours.told() as beside:
            assert beside() == ()


def test_both_are_told_whichever_began_first() -> None:
    with another() as run:
        with neighbours.told() as beside:
            assert "another live run" in beside()[0]
        assert end(run) == "1"


def test_one_that_begins_and_ends_meanwhile_is_told() -> None:
    with neighbours.told() as beside:
        with another() as run:
            end(run)
        assert len(beside()) == 1


def test_one_that_was_killed_goes_on_no_longer(cache: Path) -> None:
    with another() as run:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert list((cache / "live").glob(f"{run.pid}-*"))
        with neighbours.told() as beside:
            assert beside() == ()
    assert [each.name for each in (cache / "live").iterdir()] == ["starts"]


def test_a_run_goes_on_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLBENCH_CACHE", "/proc/nowhere")
    with neighbours.told() as beside:
        assert beside() == ()
