"""CUDA and the kernel compiler work inside the sandbox of an instance, and a whole platform serves
with all measures in force. The attacks on each measure are those of
``tests/systems/serverless/live/test_card_confinement.py``, which run on the card as well."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from systems.registry import system_class
from systems.runtime.cards import Cards, memory_by_process
from systems.runtime.liveness import Heartbeat
from systems.runtime.sandbox import confine, measures
from systems.serverless.live.device_watch import DeviceWatch, Held
from tests.systems.serverless.live.conftest import wait_until

from .confinement.facts import program, remapped
from .loaders import close
from .test_shared_on_card import ask, deployment

_PROGRAM = """
import socket, subprocess, sys
from systems.runtime.sandbox import confine
confine.confine("cuda")
try:
    socket.socket(socket.AF_INET)
except PermissionError:
    pass
else:
    sys.exit("an internet socket was made")
subprocess.run([sys.executable, "-c", ""], check=True)
import torch
ones = torch.ones(64, 64, dtype=torch.float16, device="cuda")
assert float(torch.mm(ones, ones).float().sum()) == 64**3
"""


def test_a_confined_process_computes_and_makes_no_internet_socket() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("isolation", "groups", "options"),
    [("function", 2, {"prewarmed": 1, "audit_s": 1}), ("backbone", 1, {"prewarmed": 1})],
)
def test_a_platform_serves_with_what_the_manifest_says_in_force(
    isolation: str, groups: int, options: dict[str, Any]
) -> None:
    """Read from the kernel's data on the processes that serve."""
    told = deployment({"template_at_deployment": True, **options})
    with system_class("serverless-lora")() as system:
        endpoint = system.deploy(told.model_copy(update={"isolation": isolation}))
        texts = [asyncio.run(ask(endpoint.base_url, name)) for name in ("f0", "f1", "f0")]
        assert texts[0] == texts[2] != texts[1], "each by its own adapter"
        assert system.info().confinement == confine.names("cuda")
        wait_until(lambda: len(complete(endpoint.pids[0])) >= groups, 30)
        for each in complete(endpoint.pids[0]):
            check(each)
        wait_until(lambda: "audit_s" not in options or _audits(system) >= 1, 30)
        found = system.system_trace()
    assert found.problems == ()
    assert found.warnings == (), "no kernel was compiled while requests were served"


def _audits(system: Any) -> float:
    return float(system.system_trace().measured.get("audits", 0))


def complete(gateway: int) -> list[psutil.Process]:
    """Return the forks of the template that have applied all three steps."""
    found = psutil.Process(gateway).children(recursive=True)
    return [each for each in found if status_of(each).get("Seccomp_filters") == "3"]


def status_of(process: psutil.Process) -> dict[str, str]:
    """Return the kernel's data on a process; empty if it has ended."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines())


def check(instance: psutil.Process) -> None:
    status = status_of(instance)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2", "SECCOMP_MODE_FILTER"
    assert all(int(status[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapInh"))
    assert instance.rlimit(psutil.RLIMIT_NOFILE)[1] <= measures.MAX_DESCRIPTORS
    assert instance.rlimit(psutil.RLIMIT_CORE) == (0, 0)


def test_a_copy_that_an_instance_maps_again_is_written_and_its_checksum_tells() -> None:
    """The limit in SECURITY.md, measured: nothing refuses native code to map a copy on a card
    again, writable. An audit compares the checksums."""
    told, found, after = remapped(2 << 20)  # a granule of device memory
    assert found["store"] == found["store in place"] == "CUDA_SUCCESS"
    assert after != told


@dataclass(eq=False)
class Greedy:
    """A process as the node watches it."""

    pid: int | None
    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    def ask(self) -> None: ...


@pytest.mark.parametrize(("most", "ended"), [(1 << 40, False), (64 << 20, True)])
def test_one_that_holds_more_device_memory_than_its_bound_is_ended(most: int, ended: bool) -> None:
    popen, sock = program("owner", 64 << 20)
    close(*socket.recv_fds(sock, 64, 1)[1])  # it has its memory
    card = Cards.here(["cuda:0"]).uuid("cuda:0")
    assert memory_by_process(card)[popen.pid] > 64 << 20

    async def look() -> None:
        held = Held(Greedy(popen.pid), card, most)
        watch = DeviceWatch(lambda: [held], memory_by_process, lambda *rest: popen.kill())
        await watch.look()
        watch.close()

    asyncio.run(look())
    sock.close()
    assert (popen.wait(20) == -signal.SIGKILL) == ended
