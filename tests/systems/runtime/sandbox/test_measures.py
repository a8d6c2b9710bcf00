"""Single measures, each without the others: elsewhere several of them refuse the same attack."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from systems.runtime.sandbox import measures
from tests.systems.serverless.live.attacks import (
    PR_SET_PTRACER,
    PR_SET_PTRACER_ANY,
    SECRET,
    attempt,
)

from .test_seccomp import from_a_child

MEMORY = ("memory file", "memory call", "their environment", "their descriptors")


@contextmanager
def waiting(measure: Callable[[], object]) -> Iterator[dict[str, int]]:
    """A process without capabilities that applies ``measure`` and waits. Yama would let it be
    traced."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
        measures.keep_capabilities()
        measure()
        os.write(writer, b"x")
        signal.pause()
    os.read(reader, 1)
    try:
        yield {"pid": pid, "address": ctypes.addressof(SECRET)}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def without_capabilities(attack: str, victim: dict[str, Any]) -> dict[str, Any]:
    def work() -> dict[str, Any]:
        measures.keep_capabilities()
        return attempt(attack, victim)

    return from_a_child(work)  # type: ignore[no-any-return]


@pytest.mark.parametrize("attack", MEMORY)
def test_hidden_memory_is_out_of_reach_of_the_same_user(attack: str) -> None:
    with waiting(lambda: None) as victim:
        assert "got" in without_capabilities(attack, victim)
    with waiting(measures.hide_memory) as victim:
        assert without_capabilities(attack, victim).get("refused") in {"EPERM", "EACCES"}


def test_kept_capabilities_are_those_told() -> None:
    def work() -> list[int]:
        measures.keep_capabilities([2] if os.geteuid() == 0 else [])
        with open("/proc/self/status", encoding="ascii") as file:
            rows = dict(line.split(":\t", 1) for line in file)
        return [int(rows[name], 16) for name in ("CapPrm", "CapEff", "CapInh")]

    kept = 1 << 2 if os.geteuid() == 0 else 0
    assert from_a_child(work) == [kept, kept, 0]
