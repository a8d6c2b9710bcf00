"""What a confined process tries on another one: each attack works without the sandbox, and the
sandbox refuses it. A victim of the same user, with the same capabilities, hides nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from systems.runtime.sandbox import confine, landlock

KINDS = tuple(confine.MEASURES)
PR_SET_DUMPABLE, PR_SET_PTRACER, ANY = 4, 0x59616D61, ctypes.c_ulong(-1)
SI_QUEUE = -1
SECRET = b"of another tenant"
NUMBERS = {
    "x86_64": {"pidfd_getfd": 438, "tkill": 200, "rt_sigqueueinfo": 129, "tgkill": 234},
    "aarch64": {"pidfd_getfd": 438, "tkill": 130, "rt_sigqueueinfo": 138, "tgkill": 131},
}
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Victim:
    """``fd``: its descriptor of a file that contains ``SECRET``."""

    pid: int
    fd: int


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            _suffer(path, theirs)
        finally:
            os._exit(1)
    theirs.close()
    with ours:
        (fd,) = struct.unpack("=i", ours.recv(4))
    yield Victim(pid, fd)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _suffer(path: Path, theirs: socket.socket) -> None:
    fd = os.open(path, os.O_RDONLY)
    confine.confine("cpu")
    _LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    _LIBC.prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    theirs.send(struct.pack("=i", fd))
    signal.pause()


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char]) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_LIBC.syscall(NUMBERS[os.uname().machine][name], *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def steal_a_descriptor(victim: Victim) -> None:
    stolen = call("pidfd_getfd", os.pidfd_open(victim.pid), victim.fd, 0)
    assert os.pread(stolen, 100, 0) == SECRET


def signal_a_thread(victim: Victim) -> None:
    call("tkill", victim.pid, signal.SIGCONT)


def signal_a_thread_of_its_group(victim: Victim) -> None:
    call("tgkill", victim.pid, victim.pid, signal.SIGCONT)


def queue_a_signal(victim: Victim) -> None:
    info = struct.pack("=iii", signal.SIGCONT, 0, SI_QUEUE).ljust(128, b"\0")
    call("rt_sigqueueinfo", victim.pid, signal.SIGCONT, ctypes.create_string_buffer(info, 128))


ATTACKS = (steal_a_descriptor, signal_a_thread, signal_a_thread_of_its_group, queue_a_signal)


def outcome(prepare: Callable[[], None], attack: Callable[[Victim], None], victim: Victim) -> int:
    """Run ``attack`` in a process of its own; return its error number, 0 if it succeeded."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            prepare()
            status = _error(attack, victim)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _error(attack: Callable[[Victim], None], victim: Victim) -> int:
    try:
        attack(victim)
    except OSError as error:
        return error.errno or 255
    return 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_another_process_is_out_of_reach(attack: Callable[[Victim], None], victim: Victim) -> None:
    assert outcome(lambda: None, attack, victim) == 0, "the attack works without the sandbox"
    refused = {kind: outcome(lambda k=kind: confine.confine(k), attack, victim) for kind in KINDS}
    assert refused == dict.fromkeys(KINDS, errno.EPERM)


# -- what Landlock alone refuses -------------------------------------------------------------------


def signal_it(victim: Victim) -> None:
    os.kill(victim.pid, signal.SIGCONT)


def connect_to_an_abstract_socket(victim: Victim) -> None:
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(_abstract_name())


def _abstract_name() -> str:
    return f"\0slbench-test-{os.getppid()}"


@pytest.fixture
def listening() -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(f"\0slbench-test-{os.getpid()}")
        there.listen()
        yield


@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock has no scopes")
@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("attack", [signal_it, connect_to_an_abstract_socket])
def test_what_lies_outside_of_the_landlock_domain_is_out_of_reach(
    attack: Callable[[Victim], None], victim: Victim
) -> None:
    assert outcome(lambda: None, attack, victim) == 0, "the attack works without Landlock"
    assert (
        outcome(lambda: landlock.see_only({Path("/proc"): landlock.READ}), attack, victim)
        == errno.EPERM
    )
