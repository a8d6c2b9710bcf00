"""The template: imports the libraries once, then forks instances that have them in place.

Single-threaded, always: a fork copies only the thread that calls it, and a lock that another
one held would stay locked in the child for good.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from . import output, process, processor
from .channel import Channel


def main(channel: Channel) -> int:
    channel.send("started", t_ns=time.monotonic_ns())
    process.import_libraries()
    _check_single_threaded()
    wakeup = _wake_on_child()
    channel.send("ready", t_ns=time.monotonic_ns())
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if wakeup in ready:
            os.read(wakeup, 4096)
            _reap(channel)
        if channel.fileno() in ready:
            _serve(channel, wakeup)


def _check_single_threaded() -> None:
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"the template runs {threads} threads; forking it is not safe")


def _wake_on_child() -> int:
    """A descriptor that becomes readable when a child ends."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _woken)
    return reader


def _reap(channel: Channel) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        returncode, used_ns = os.waitstatus_to_exitcode(status), processor.of_usage(usage)
        channel.send("exited", pid=pid, returncode=returncode, used_ns=used_ns)


def _serve(channel: Channel, wakeup: int) -> None:
    received = channel.receive()
    if received is None:
        return
    message, fds = received
    if message["kind"] == "ping":
        channel.send("pong")
        return
    fd, writer = fds
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(wakeup)
        channel.close()
        output.redirect(writer)
        process.settle(parent)
        process.become(message["role"], socket.socket(fileno=fd), message["device"])
    os.close(fd)
    os.close(writer)
    channel.send("forked", token=message["token"], pid=pid)


def _woken(number: int, frame: object) -> None:
    """A handler must be there for the wake-up descriptor to be written."""
