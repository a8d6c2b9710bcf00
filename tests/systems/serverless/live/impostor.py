"""Instances under an attacker's control: real processes in place of the platform's own.

``in_place`` makes a node start this file instead of an interpreter for each role; a word in the
name of the started file selects the behaviour.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from systems.runtime.channel import Channel
from systems.runtime.sandbox import measures
from systems.serverless.live import roles
from systems.serverless.live.weights import store

if TYPE_CHECKING:
    import pytest

BURNT_S = 0.2
"""Processor time after which ``burner``, which computes for itself in two threads, is killed: the
meter may have begun to count late."""
_MOST_S = 20.0


def in_place(monkeypatch: pytest.MonkeyPatch, folder: Path, behaviour: str) -> None:
    """``behaviour``: ``liar`` (keeps memory that it reports as released), ``honest``, ``burner``
    (responds at once, then computes for itself), ``mistimed`` (reports impossible step times)."""
    program = folder / behaviour
    root = Path(__file__).parents[4]
    program.write_text(f"#!{sys.executable}\n{_START.format(root=root)}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


_START = """
import sys
sys.path.insert(0, "{root}")
from tests.systems.serverless.live.impostor import main
main(sys.argv)
"""


class Impostor(Channel):
    """A channel that sends any message."""

    def says(self, kind: str, **fields: Any) -> None:
        os.write(self.fileno(), json.dumps({"kind": kind, **fields}).encode())


def main(argv: Sequence[str]) -> None:
    """Entry point with the arguments of ``python -m MODULE ROLE FD PARENT DEVICE``."""
    import socket

    behaviour, role, fd = Path(argv[0]).name, argv[3], int(argv[4])
    measures.hide_memory()
    hears = {each.name: each.hears for each in (roles.INSTANCE, roles.LOADER)}[role]
    channel = Impostor(socket.socket(fileno=fd), hears)
    if role == "instance":
        channel.says("started", t_ns=time.monotonic_ns())
    held: list[Any] = []
    while True:
        try:
            received = channel.receive()
        except EOFError:
            return
        assert received is not None
        message, fds = msgspec.to_builtins(received[0]), received[1]
        _DO.get(message["kind"], _nothing)(channel, message, fds, held, behaviour, role)


def _nothing(*said: Any) -> None:
    pass


def _load(
    channel: Impostor, message: Any, fds: list[int], held: list[Any], behaviour: str, role: str
) -> None:
    if role == "loader":
        store.seal(fds[0])
    elif fds:
        held.append(mmap.mmap(fds[0], 0, prot=mmap.PROT_READ))
    for each in fds:
        os.close(each)
    artifact = {"artifact": message["artifact"]} if role == "instance" else {}
    channel.says("loaded", **artifact)


def _offload(
    channel: Impostor, message: Any, fds: list[int], held: list[Any], behaviour: str, role: str
) -> None:
    if behaviour != "liar":
        held.clear()
    channel.says("offloaded")
    channel.says("offloaded")  # again, in case the first is ignored


def _run(
    channel: Impostor, message: Any, fds: list[int], held: list[Any], behaviour: str, role: str
) -> None:
    tokens = [(request, 5, "stop") for request in message["requests"]]
    now = time.monotonic_ns()
    end_ns = 10**30 if behaviour == "mistimed" else now
    channel.says(
        "prefilled", batch=message["batch"], start_ns=now, t_ns=end_ns, computed_ns=1, tokens=tokens
    )
    if behaviour == "burner":
        both = [threading.Thread(target=_burn, daemon=True) for _ in range(2)]
        for thread in both:
            thread.start()


def _burn() -> None:
    while time.thread_time() < _MOST_S:
        pass


_DO = {
    "load": _load,
    "offload": _offload,
    "run": _run,
    "stop": lambda *said: sys.exit(0),
    "ping": lambda channel, *said: channel.says("pong"),
}
