"""The processes of one node: spawns them or forks them from the template, and reaps them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from systems.interface import Stage

from . import channel as wire
from . import process, processor
from .channel import AsyncChannel
from .children import GRACE_S, Child, kill, why
from .incoming import BadMessageError
from .messages import Message, Pong, Started
from .output import Output, Told
from .roles import Role
from .sandbox import control_group
from .stages import Timeline
from .template_messages import Exited, Fork, Forked, ForkFailed, Import, Ready

_LOG = logging.getLogger(__name__)

OnMessage = Callable[[Message, list[int]], None]
OnExit = Callable[[int | None], None]


class Processes:
    """``device``: kind of the node's devices; ``template_role``: role of the template process.
    Calls ``on_exit`` of every child once."""

    def __init__(self, device: str, template_role: Role) -> None:
        self.template: Child | None = None
        self.template_timeline = Timeline.empty()
        self._device = device
        self._template_role = template_role
        self._forks: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._tokens = 0
        self._told = Told()
        control_group.sweep()

    @property
    def forked(self) -> list[Child]:
        """Forks of the template that have not ended."""
        return [*self._by_pid.values(), *self._forks.values()]

    def begin(self, role: Role, on_message: OnMessage, on_exit: OnExit, visible: str = "") -> Child:
        """Fork the template if there is one, else spawn a new interpreter. ``visible``: the only
        GPUs that the process sees, as ``CUDA_VISIBLE_DEVICES``; "": as this process."""
        start = self.fork if self.template is not None else self.spawn
        return start(role, on_message, on_exit, visible)

    def spawn(self, role: Role, on_message: OnMessage, on_exit: OnExit, visible: str = "") -> Child:
        """Start ``role`` in a new interpreter."""
        with contextlib.ExitStack() as undo:
            ours, theirs = wire.pair()
            undo.callback(ours.close)
            output = Output()
            undo.callback(output.close)
            with theirs, output.writer as printed:
                popen = subprocess.Popen(
                    process.start_of(role, theirs.fileno(), self._device),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=printed,
                    env=process.environment(visible),
                )
            undo.callback(popen.wait)
            undo.callback(popen.kill)
            end = os.pidfd_open(popen.pid)
            undo.pop_all()
        child = self._adopt(role, ours, output, on_message, on_exit)
        child.popen, child.pid = popen, popen.pid
        asyncio.get_running_loop().add_reader(end, self._spawned_ended, child, end)
        return child

    def fork(self, role: Role, on_message: OnMessage, on_exit: OnExit, visible: str = "") -> Child:
        """Start ``role`` as a fork of the template, with all libraries imported. Raise ``OSError``
        if there is none: the controller may not know yet that it has ended."""
        if self.template is None:
            raise OSError("the template has ended")
        ours, theirs = wire.pair()
        output = Output()
        child = self._adopt(role, ours, output, on_message, on_exit)
        self._tokens += 1
        self._forks[self._tokens] = child
        asked = Fork(self._tokens, role.name, self._device, visible)
        with theirs, output.writer as printed:
            self.template.channel.send(asked, [theirs.fileno(), printed.fileno()])
        return child

    def start_template(self, on_ready: Callable[[], None], on_died: Callable[[str], None]) -> None:
        """Call ``on_died`` with the reason. Raise ``OSError`` if no process can be started."""
        self.template_timeline.begin(Stage.WARMING, time.monotonic_ns())
        self.template = self.spawn(
            self._template_role,
            lambda message, fds: self._template_says(message, on_ready),  # noqa: ARG005
            lambda returncode: self._template_ended(returncode, on_died),
        )
        self.template.channel.send(Import(self._device))

    def _template_says(self, message: Message, on_ready: Callable[[], None]) -> None:
        now = time.monotonic_ns()
        match message:
            case Started():
                self.template_timeline.end(Stage.WARMING, now)
                self.template_timeline.begin(Stage.LIBRARIES, now)
            case Ready():
                self.template_timeline.end(Stage.LIBRARIES, now)
                on_ready()
            case Forked():
                self._forked(message)
            case ForkFailed():
                self._fork_failed(message)
            case Exited():
                self._exited(message)

    def _forked(self, message: Forked) -> None:
        child = self._asked_for(message.token)
        child.pid = message.pid
        self._by_pid[message.pid] = child
        if child.doomed:
            kill(child)

    def _fork_failed(self, message: ForkFailed) -> None:
        child = self._asked_for(message.token)
        child.verdict = child.verdict or message.reason
        self._ended(child, None)

    def _asked_for(self, token: int) -> Child:
        child = self._forks.pop(token, None)
        if child is None:
            raise BadMessageError(f"forked: no process was asked for as {token}")
        return child

    def _exited(self, message: Exited) -> None:
        child = self._by_pid.pop(message.pid, None)
        if child is None:
            raise BadMessageError(f"exited: no fork has the process id {message.pid}")
        child.used_ns = message.used_ns
        self._ended(child, message.returncode)

    def _template_ended(self, returncode: int | None, on_died: Callable[[str], None]) -> None:
        verdict = self.template.verdict if self.template else ""
        self.template = None
        on_died(verdict or why(returncode))
        forked = self.forked
        self._forks.clear()
        self._by_pid.clear()
        for child in forked:
            self._ended(child, None)

    def _adopt(
        self,
        role: Role,
        sock: socket.socket,
        output: Output,
        on_message: OnMessage,
        on_exit: OnExit,
    ) -> Child:
        child: Child

        def hear(message: Message, fds: list[int]) -> None:
            child.heartbeat.heard()
            if not isinstance(message, Pong):
                child.on_message(message, fds)

        def closed(why: str) -> None:
            if why:
                self._condemn(child, why)
            self._hung_up(child)

        channel = AsyncChannel(sock, role.says, hear, closed)
        child = Child(role.name, channel, output, on_message, on_exit)
        return child

    def _condemn(self, child: Child, why: str) -> None:
        """Kill a child that sent an invalid message, or one to which cannot be sent."""
        child.verdict = why
        _LOG.warning("%s %s is ended: %s", child.role, child.pid, child.verdict)
        kill(child)

    def _hung_up(self, child: Child) -> None:
        """Handle a closed channel: the child has ended, or is killed after a grace period. If the
        template has ended, its forks die with it and cannot be reaped: the fork counts as ended."""
        if child.popen is None and self.template is None:
            self._ended(child, None)
        else:
            asyncio.get_running_loop().call_later(GRACE_S, kill, child)

    def _spawned_ended(self, child: Child, watch: int) -> None:
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)
        assert child.popen is not None
        child.used_ns = processor.used_ns(child.popen.pid)
        self._ended(child, child.popen.wait())

    def _ended(self, child: Child, returncode: int | None) -> None:
        if child.ended:
            return
        child.ended = True
        if child.pid is not None:
            control_group.remove(child.pid)
        child.channel.drain()
        child.channel.close()
        printed = child.output.close()
        if child.verdict or returncode not in (0, -signal.SIGKILL):
            self._told.tell(f"{child.role} {child.pid}", printed)
        child.tell_end(returncode)
