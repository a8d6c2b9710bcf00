"""One of two machines: has its own network address, processes and clock."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_UP = (
    "mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /dev/shm && mkdir /tmp/home"
    " && echo up && exec sleep infinity"
)


@dataclass(frozen=True)
class Machine:
    """``init``: pid of the root process of the machine; all its other processes end with it."""

    name: str
    address: str
    init: int

    def start(
        self, command: str, environment: Mapping[str, str], out: IO[str] | int
    ) -> subprocess.Popen[str]:
        """Start a shell command on this machine."""
        inside = ["nsenter", "--target", str(self.init), "--net", "--mount", "--pid", "--time"]
        here = f"--wd={os.getcwd()}"
        return subprocess.Popen(
            [*inside, here, "bash", "-c", command],
            env={**os.environ, "HOME": "/tmp/home", "SLBENCH_CACHE": "/tmp/cache", **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def machine(name: str, address: str, clock_ahead_s: int) -> Iterator[Machine]:
    """Start a machine without a network link; remove all of it on exit."""
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        apart = ["--time", "--monotonic", str(clock_ahead_s), "--mount", "--pid", "--fork"]
        command = ["ip", "netns", "exec", name, "unshare", *apart, "--mount-proc", "--kill-child"]
        with subprocess.Popen(
            [*command, "bash", "-c", _UP], stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            try:
                assert holder.stdout.readline() == "up\n", "the machine did not come up"
                children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
                yield Machine(name, address, int(children.split()[0]))
            finally:
                holder.kill()
    finally:
        ip("netns", "del", name)


@contextmanager
def two_machines(clock_ahead_s: int) -> Iterator[tuple[Machine, Machine]]:
    """Start A and B on one link; B's monotonic clock is ``clock_ahead_s`` ahead of A's."""
    with ExitStack() as stack:
        a = stack.enter_context(machine("slbench-a", "10.0.0.1", 0))
        b = stack.enter_context(machine("slbench-b", "10.0.0.2", clock_ahead_s))
        ip("link", "add", "wire", "netns", a.name, "type", "veth", "peer", "wire", "netns", b.name)
        for each in (a, b):
            ip("-n", each.name, "address", "add", f"{each.address}/24", "dev", "wire")
            ip("-n", each.name, "link", "set", "wire", "up")
        yield a, b


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
