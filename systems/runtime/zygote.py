"""The template: imports the libraries once, then forks instances that have them imported.

It always has a single thread: a fork copies only the calling thread, so a lock held by another
thread would stay locked in the child forever.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from . import cards, output, process, processor, template_messages
from .channel import Channel
from .messages import Ping, Pong, Started
from .packets import close_all
from .roles import Role, by_name
from .sandbox import confine
from .template_messages import Exited, Fork, Forked, ForkFailed, Import, Ready


def role_of(module: str, *forked: Role) -> Role:
    """Return the role of a template that ``module`` starts and that forks the roles ``forked``."""
    return Role(
        "zygote",
        module,
        template_messages.SAYS,
        template_messages.HEARS,
        partial(_main, by_name(*forked)),
        confine.shelter,
    )


def _main(roles: Mapping[str, Role], channel: Channel) -> int:
    channel.send(Started(time.monotonic_ns()))
    process.import_libraries(_device_told(channel))
    _check_single_threaded()
    wakeup = _wake_on_child()
    reader, _ = wakeup
    channel.send(Ready(time.monotonic_ns()))
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(reader, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if reader in ready:
            os.read(reader, 4096)
            _reap(channel)
        if channel.fileno() in ready:
            _serve(roles, channel, wakeup)


def _device_told(channel: Channel) -> str:
    """Return the kind of device that the libraries are for, as the first message says."""
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, _ = received
    assert isinstance(message, Import), "it is told what to import"
    return message.device


def _check_single_threaded() -> None:
    threads = [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
    if len(threads) > 1:
        told = ", ".join(threads)
        raise RuntimeError(f"the template runs several threads ({told}); forking it is not safe")


def _wake_on_child() -> tuple[int, int]:
    """Return the two ends of a pipe. The first becomes readable when a child ends."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _woken)
    return reader, writer


def _reap(channel: Channel) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        returncode, used_ns = os.waitstatus_to_exitcode(status), processor.of_usage(usage)
        channel.send(Exited(pid, returncode, used_ns))


def _serve(roles: Mapping[str, Role], channel: Channel, wakeup: tuple[int, int]) -> None:
    received = channel.receive()
    if received is None:
        return
    message, fds = received
    match message:
        case Ping():
            channel.send(Pong())
        case Fork():
            made = _fork(roles[message.role], message, channel, wakeup, *fds)
            close_all(fds)
            channel.send(made)


def _fork(
    role: Role,
    asked: Fork,
    channel: Channel,
    wakeup: tuple[int, int],
    channel_fd: int,
    printed_fd: int,
) -> Forked | ForkFailed:
    """Fork a process that runs ``role`` on the channel ``channel_fd``; return its process id, or
    why the kernel has none. All other forks end with this process, so it must not raise that.

    The fork keeps none of this process's descriptors. One that could fill the pipe ``wakeup``, to
    which the signal handler of this process writes, could stop this process.
    """
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        return ForkFailed(asked.token, f"cannot fork: {error.strerror}")
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        close_all(wakeup)
        channel.close()
        output.redirect(printed_fd)
        process.settle(parent)
        cards.see_only(asked.visible)  # the template never starts CUDA, so this takes effect
        process.become(role, socket.socket(fileno=channel_fd), asked.device)
    return Forked(asked.token, pid)


def _woken(number: int, frame: object) -> None:
    """Does nothing; without a handler Python does not write to the wake-up descriptor."""
