"""Starts attackers (:mod:`.attacks`) as the platform starts instances."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from systems.runtime import channel as wire
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Message, Started
from systems.runtime.roles import Role
from systems.runtime.sandbox import control_group
from systems.runtime.template_messages import Fork, Import, Ready

from .attacks import SAYS, TEMPLATE, Outcome, Try, Up

TIMEOUT_MS = 240_000  # the import of the libraries takes minutes on a busy machine
REFUSALS = frozenset({"EPERM", "EACCES"})


class Attacker:
    """A process of the platform that runs the attacks it receives."""

    def __init__(self, sock: socket.socket) -> None:
        self.channel = Channel(sock, SAYS)
        up = self._hear()
        assert isinstance(up, Up)
        self.about = msgspec.to_builtins(up)

    def tries(self, attack: str, victim: dict[str, Any] | None = None) -> dict[str, Any]:
        self.channel.send(Try(attack, victim))
        outcome = self._hear()
        assert isinstance(outcome, Outcome)
        return outcome.content

    def _hear(self) -> Message:
        received = self.channel.receive(TIMEOUT_MS)
        assert received is not None, "the attacker said nothing"
        return received[0]


def start_process(role: Role, device: str = "cpu") -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process as the platform does, with the attacker's roles."""
    ours, theirs = wire.pair()
    popen = subprocess.Popen(
        process.start_of(role, theirs.fileno(), device),
        pass_fds=[theirs.fileno()],
        env=process.environment(),
    )
    theirs.close()
    return popen, ours


@contextmanager
def running_template(device: str = "cpu") -> Iterator[tuple[int, Channel]]:
    """Start the real template, whose forks are attackers."""
    popen, sock = start_process(TEMPLATE, device)
    channel = Channel(sock, TEMPLATE.says)
    channel.send(Import(device))
    for kind in (Started, Ready):
        received = channel.receive(TIMEOUT_MS)
        assert received is not None
        assert isinstance(received[0], kind)
    yield popen.pid, channel
    channel.close()
    popen.wait()
    control_group.sweep()


@dataclass(frozen=True)
class Sides:
    """Two instances, and two without a sandbox, to show that an attack works there."""

    confined: tuple[Attacker, Attacker]
    free: tuple[Attacker, Attacker]
    adapters: tuple[Path, Path]
    """Adapters of the attacker and of its sibling."""

    def refused(self, attack: str, on: dict[str, Any] | None = None) -> bool:
        """Whether ``attack`` on a sibling, or on the victim ``on``, is refused to an instance;
        asserts that it works without a sandbox."""
        attacker, victim = self.free
        assert "got" in attacker.tries(attack, on or victim.about)
        attacker, victim = self.confined
        return attacker.tries(attack, on or victim.about).get("refused") in REFUSALS


def fork_of(template: Channel, role: Role, device: str = "cpu") -> Attacker:
    """Start an attacker as a fork of the template."""
    ours, theirs = wire.pair()
    prints = os.dup(2)
    template.send(Fork(0, role.name, device), [theirs.fileno(), prints])
    os.close(prints)
    theirs.close()
    return Attacker(ours)
