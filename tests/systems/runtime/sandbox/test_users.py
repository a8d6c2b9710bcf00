"""A user of its own keeps a process from others by itself: here no other measure is in force."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from systems.runtime.sandbox import users
from tests.systems.serverless.live.attacks import attempt

from .test_seccomp import from_a_child

pytestmark = pytest.mark.skipif(
    not users.available(), reason="the platform cannot give its processes users of their own"
)

ON_OTHERS = (
    "signal",
    "their priority",
    "their cores",
    "their limits",
    "trace",
    "memory file",
    "memory call",
    "their environment",
    "their descriptors",
)


@pytest.fixture(scope="module", params=["a sibling", "a process of the platform"])
def victim(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """A process that waits, with or without a user of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if request.param == "a sibling":
            users.become_one()
        os.write(writer, b"x")
        signal.pause()
    os.read(reader, 1)
    yield {"pid": pid, "address": 0}
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)


def attacked(attack: str, victim: dict[str, Any]) -> dict[str, Any]:
    def work() -> dict[str, Any]:
        users.become_one()
        return attempt(attack, victim)

    return from_a_child(work)  # type: ignore[no-any-return]


@pytest.mark.parametrize("attack", ON_OTHERS)
def test_other_processes_are_out_of_reach(attack: str, victim: dict[str, int]) -> None:
    assert attacked(attack, victim).get("refused") in {"EPERM", "EACCES"}


def test_its_threads_end_at_a_bound() -> None:
    assert attempt("start threads", {}) == {"got": 300}
    assert attacked("start threads", {})["got"] < users.most_threads()


def test_it_writes_no_file_of_the_platform_and_keeps_reading(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("of root", encoding="utf-8")
    tmp_path.chmod(0o700)
    path.chmod(0o600)
    for attack in ("write", "remove", "set user id", "give away", "change times"):
        assert attacked(attack, {"path": str(path)}).get("refused") in {"EPERM", "EACCES"}
    assert attacked("read", {"path": str(path)}) == {"got": "of root"}


def test_it_cannot_become_another_user_again() -> None:
    def work() -> str:
        users.become_one()
        try:
            os.setresuid(0, 0, 0)
        except PermissionError:
            return "refused"
        return "root"

    assert from_a_child(work) == "refused"


def test_it_ends_with_its_parent() -> None:
    def work() -> int:
        """Start a process with its own user, and end; return its pid."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            users.become_one()
            os.write(writer, b"x")
            os.closerange(3, 256)  # also the pipe to the test
            signal.pause()
        os.read(reader, 1)
        return pid

    pid = from_a_child(work)
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        end = os.pidfd_open(pid)
        ended = bool(select.select([end], [], [], 5)[0])
        os.close(end)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        assert ended
