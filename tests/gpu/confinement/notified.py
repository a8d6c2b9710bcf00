"""Records the system calls of a process: the kernel asks a supervisor about each of them
(``SECCOMP_RET_USER_NOTIF``, seccomp_unotify(2)), which notes it and lets it go on."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import select
import signal
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from systems.runtime.sandbox.machines import MACHINES

_USER_NOTIF, _ALLOW = 0x7FC00000, 0x7FFF0000  # linux/seccomp.h
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_OPENAT = 1
PATIENCE_S = 40
_QUIET = {"x86_64": (7, 16, 24, 202, 230, 35, 271), "aarch64": (29, 73, 98, 101, 115, 124)}
"""poll, ioctl, sched_yield, futex, clock_nanosleep, nanosleep, ppoll: too many to ask about."""


@dataclass(frozen=True, slots=True)
class Trace:
    """By phase: calls as (number, first argument, second argument), how often; and opened paths
    with their flags."""

    calls: dict[str, dict[tuple[int, int, int], int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    opened: dict[str, dict[tuple[str, int], int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )


class Marks:
    """The phase that the traced process is in, in memory that both share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 64)

    def set(self, phase: str) -> None:
        self._memory[:64] = phase.encode().ljust(64, b"\0")

    def get(self) -> str:
        return self._memory[:64].rstrip(b"\0").decode()


def trace(work: Callable[[Marks], int]) -> tuple[Trace, int]:
    """Run ``work`` in a fork of this process; return what it called, and its exit status."""
    marks, found = Marks(), Trace()
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        status = 1
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.prctl(38, 1, 0, 0, 0)
            code = _filter()
            os.write(go, b"x")
            _install(libc, code)
            status = work(marks)
        finally:
            os._exit(status)
    os.close(go)
    os.read(ready, 1)
    os.close(ready)
    listener = _listener_of(pid)
    end = os.pidfd_open(pid)
    for _ in _asked(listener, end):
        _answer(listener, marks, found)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.close(listener)
    os.close(end)
    return found, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _filter() -> bytes:
    steps = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
    for number in _QUIET[platform.machine()]:
        steps += [struct.pack("=HBBI", 0x15, 0, 1, number), struct.pack("=HBBI", 6, 0, 0, _ALLOW)]
    return b"".join([*steps, struct.pack("=HBBI", 6, 0, 0, _USER_NOTIF)])


def _install(libc: ctypes.CDLL, code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    )
    number = MACHINES[platform.machine()].numbers["seccomp"]
    if libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, header) < 0:
        raise OSError(ctypes.get_errno(), "no filter that notifies")


def _listener_of(pid: int) -> int:
    """Take the listener from the process, which waits at its next call."""
    process = os.pidfd_open(pid)
    try:
        while True:
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if "seccomp" in os.readlink(f"/proc/{pid}/fd/{name}"):
                        libc = ctypes.CDLL(None, use_errno=True)
                        return int(libc.syscall(438, process, int(name), 0))
    finally:
        os.close(process)


def _asked(listener: int, end: int) -> Iterator[None]:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(end, select.POLLIN)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ready = dict(poll.poll(1e3 * PATIENCE_S))
        if ready.get(listener, 0) & select.POLLIN:
            yield
        elif end in ready or listener in ready:
            return


def _answer(listener: int, marks: Marks, found: Trace) -> None:
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return
        raise
    number_id, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
    phase = marks.get()
    found.calls[phase][number, arguments[0] & 0xFFFFFFFF, arguments[1] & 0xFFFFFFFF] += 1
    if number == MACHINES[platform.machine()].numbers.get("openat", 257):
        path = _string(pid, arguments[_OPENAT])
        found.opened[phase][path, arguments[2] & 0xFFFFFFFF] += 1
    with suppress(OSError):  # the thread is gone
        fcntl.ioctl(listener, _SEND, _RESPONSE.pack(number_id, 0, 0, _CONTINUE))


def _string(pid: int, address: int) -> str:
    with suppress(OSError):
        fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        try:
            return os.pread(fd, 256, address).split(b"\0")[0].decode(errors="replace")
        finally:
            os.close(fd)
    return "?"
