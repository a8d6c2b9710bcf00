"""Processes of the platform that are started without a template, as if the machine had NVIDIA's
driver, and the programs and forks that they start."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from systems.runtime import channel as wire
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Message
from systems.runtime.roles import Role

TIMEOUT_S = 240.0  # the import of the libraries takes minutes on a busy machine
_PROGRAMS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}
_BESIDE_A_DRIVER = f"""
import os, pathlib, runpy, socket, sys

exists = pathlib.Path.exists
pathlib.Path.exists = lambda path, **k: str(path) == "/dev/nvidiactl" or exists(path, **k)
programs = {_PROGRAMS!r}
sys.addaudithook(lambda event, _: print(event, flush=True) if event in programs else None)
"""
"""The beginning of an interpreter as if there were a driver. It prints what it starts."""
_FRESH = f"""{_BESIDE_A_DRIVER}
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
"""Runs a module as ``python -m`` does."""
_FORKS = f"""{_BESIDE_A_DRIVER}
import peft, safetensors.torch, torch
from peft.utils import save_and_load

asked = socket.socket(fileno=int(sys.argv.pop()))
while True:
    told, (channel, printed) = socket.recv_fds(asked, 1024, 2)[:2]
    if os.fork() == 0:
        asked.close()
        os.dup2(printed, 1)
        module, role, device = told.decode().split()
        sys.argv = [module, role, str(channel), str(os.getppid()), device]
        runpy.run_module(module, run_name="__main__")
    os.close(channel)
    os.close(printed)
"""
"""Does that in forks, which have the libraries of others: they take seconds. Each fork imports our
modules itself, in its sandbox."""

Start = Callable[[Role, str, socket.socket], Callable[[], str]]
"""Starts a role for a kind of device on a channel; the result waits for its end and returns what it
printed."""


def _interpreter(script: str, *arguments: str, fd: int, out: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        pass_fds=[fd],
        stdin=subprocess.DEVNULL,
        stdout=out,
        text=True,
        # No search for the driver's library, which is not here.
        env={**process.environment(), "TRITON_LIBCUDA_PATH": "/"},
    )


def fresh(role: Role, device: str, channel: socket.socket) -> Callable[[], str]:
    """Start an interpreter that imports everything itself."""
    arguments = process.start_of(role, channel.fileno(), device)[2:]
    popen = _interpreter(_FRESH, *arguments, fd=channel.fileno(), out=subprocess.PIPE)
    return lambda: popen.communicate(timeout=TIMEOUT_S)[0]


@contextmanager
def forks() -> Iterator[Start]:
    """Have an interpreter with the libraries that forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = str(theirs.fileno())
    popen = _interpreter(_FORKS, number, fd=theirs.fileno(), out=subprocess.DEVNULL)
    theirs.close()

    def fork(role: Role, device: str, channel: socket.socket) -> Callable[[], str]:
        reader, writer = os.pipe()
        told = f"{role.module} {role.name} {device}".encode()
        socket.send_fds(ours, [told], [channel.fileno(), writer])
        os.close(writer)
        return lambda: _read(reader)

    with ours:
        try:
            yield fork
        finally:
            popen.kill()
            popen.wait()


def _read(reader: int) -> str:
    """Read what a process printed until it ended."""
    found = b""
    with open(reader, "rb", buffering=0) as printed:
        while True:
            assert select.select([printed], [], [], TIMEOUT_S)[0], "it does not end"
            part = printed.read(4096)
            if not part:
                return found.decode()
            found += part


class Process:
    """A process of the platform, and its end of the channel."""

    def __init__(self, start: Start, role: Role, device: str) -> None:
        ours, theirs = wire.pair()
        with theirs:
            self._printed = start(role, device, theirs)
        self._channel = Channel(ours, role.says)

    def tell(self, *messages: Message, fds: Sequence[int] = ()) -> None:
        for message in messages:
            self._channel.send(message, fds)

    def says(self) -> Message:
        received = self._channel.receive(round(TIMEOUT_S * 1000))
        assert received is not None, "it said nothing"
        return received[0]

    def end(self) -> list[str]:
        """End it; return what it started."""
        self._channel.close()
        return self._printed().split()
