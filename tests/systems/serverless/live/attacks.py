"""Attacks from an instance under a tenant's control; they run in place of the instance's main.

Each attack is a real one and raises ``OSError`` if it is refused.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from systems.errors import SystemsError
from systems.runtime import process, zygote
from systems.runtime.channel import Channel
from systems.runtime.incoming import MOST_OF_A_MESSAGE, Incoming
from systems.runtime.messages import Failed, Message
from systems.runtime.roles import Role
from systems.runtime.sandbox import confine
from systems.serverless.live.instance_artifacts import InstanceArtifacts
from systems.serverless.live.messages import Configure

PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
MAP_NORESERVE = 0x4000
BUDGET = 1 << 30

_LIBC = ctypes.CDLL(None, use_errno=True)
SECRET = ctypes.create_string_buffer(b"the prompt of another tenant")


class Up(Message, frozen=True):
    """The attacker runs; ``pid`` and ``address`` are what others need to attack it."""

    pid: int
    address: int


class Outcome(Message, frozen=True):
    """``content`` is the result of :func:`attempt`."""

    content: dict[str, Any]


class Try(Message, frozen=True):
    attack: str
    victim: dict[str, Any] | None


SAYS = Incoming(Up | Outcome | Failed, most_bytes=MOST_OF_A_MESSAGE)


def main(channel: Channel) -> int:
    # Lift the limits of Yama, so that a refusal of ptrace comes from the sandbox.
    _LIBC.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
    channel.send(Up(os.getpid(), ctypes.addressof(SECRET)))
    while (received := channel.receive()) is not None:
        message, _ = received
        assert isinstance(message, Try)
        channel.send(Outcome(attempt(message.attack, message.victim or {})))
    return 0


def attempt(attack: str, victim: dict[str, Any]) -> dict[str, Any]:
    """Run an attack; return ``got``, or ``refused`` with the name of the error."""
    try:
        return {"got": ATTACKS[attack](victim)}
    except OSError as error:
        return {"refused": errno.errorcode[error.errno or 0]}
    except (SystemsError, RuntimeError, AssertionError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _be_open(victim: dict[str, int]) -> None:
    """Undo the memory protection that a fork inherits from its template."""
    _check(_LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))


def _settle_in(victim: dict[str, Any]) -> None:
    """Tighten the sandbox as an instance does once it knows its function."""
    confine.settle_in(victim["device"], [Path(each) for each in victim["own"]], BUDGET)


_COMPUTING: list[Any] = []


def _start_computing(victim: dict[str, Any]) -> None:
    """Build an engine on ``device``, and tighten the sandbox of ``measures`` as an instance does
    then."""
    from tests.gpu.confinement.scenario import PREPARED, Scenario

    _COMPUTING[:] = [Scenario(victim["device"]).steps()]
    for name, step in _COMPUTING[0]:
        step()
        if name == PREPARED:
            break
    confine.complete(victim["measures"])


def _go_on_computing(victim: dict[str, Any]) -> list[str]:
    """Do all that an instance does once its engine is built; return the steps."""
    done = []
    for name, step in _COMPUTING[0]:
        step()
        done.append(name)
    return done


def _settle_in_as_told(victim: dict[str, Any]) -> None:
    """The instance's own code, on the ``Configure`` in ``victim``."""
    artifacts = InstanceArtifacts()
    artifacts.configure(msgspec.convert(victim, Configure))
    artifacts.settle_in()


def _read(victim: dict[str, Any]) -> str:
    return Path(victim["path"]).read_text(encoding="utf-8")


def _list(victim: dict[str, Any]) -> list[str]:
    return os.listdir(victim["path"])


def _write(victim: dict[str, Any]) -> None:
    Path(victim["path"]).write_text("by an attacker", encoding="utf-8")


def _remove(victim: dict[str, Any]) -> None:
    Path(victim["path"]).unlink()


def _set_user_id(victim: dict[str, Any]) -> None:
    """Set the set-user-id bit of a program."""
    os.chmod(victim["path"], 0o4755)


def _open_to_all(victim: dict[str, Any]) -> None:
    """Change the mode through a path-only descriptor, which grants no access to the file."""
    fd = os.open(victim["path"], os.O_PATH)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o644)
    finally:
        os.close(fd)


def _give_away(victim: dict[str, Any]) -> None:
    os.chown(victim["path"], os.getuid(), os.getgid())


def _change_times(victim: dict[str, Any]) -> None:
    os.utime(victim["path"], (0, 0))


def _attach(victim: dict[str, Any]) -> None:
    os.setxattr(victim["path"], "user.note", b"by an attacker")
    os.removexattr(victim["path"], "user.note")


def _signals_by_descriptor(victim: dict[str, Any]) -> None:
    """Make the kernel signal another process when a descriptor becomes readable."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(reader, fcntl.F_SETOWN, victim["pid"])
    finally:
        os.close(reader)
        os.close(writer)


def _outlive(victim: dict[str, Any]) -> None:
    """Continue to run after the platform has ended."""
    _check(_LIBC.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0))


def _fork(victim: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _take_memory(victim: dict[str, Any]) -> None:
    """Allocate ten times the budget, more than any library could need."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    mmap.mmap(-1, 10 * BUDGET, flags=flags).close()


def _start_threads(victim: dict[str, Any]) -> int:
    """Start up to 300 threads; end them, and count them."""
    go, threads = threading.Event(), []
    try:
        for _ in range(300):
            thread = threading.Thread(target=go.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    go.set()
    for thread in threads:
        thread.join()
    return len(threads)


def _take_memory_file(victim: dict[str, Any]) -> None:
    os.close(os.memfd_create("hoard"))


def _their_priority(victim: dict[str, Any]) -> None:
    os.setpriority(os.PRIO_PROCESS, victim["pid"], os.getpriority(os.PRIO_PROCESS, victim["pid"]))


def _their_cores(victim: dict[str, Any]) -> None:
    os.sched_setaffinity(victim["pid"], os.sched_getaffinity(victim["pid"]))


def _internet(victim: dict[str, int]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()


def _unix_socket(victim: dict[str, int]) -> None:
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()


def _connect(victim: dict[str, Any]) -> None:
    """Connect to a service of this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
        ours.connect(victim["path"])


def _internet_from_a_child(victim: dict[str, int]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if "got" in attempt("internet", victim) else 1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise PermissionError(errno.EPERM, "refused to the child")


def _trace(victim: dict[str, int]) -> None:
    _check(_LIBC.ptrace(PTRACE_ATTACH, victim["pid"], None, None))
    os.waitpid(victim["pid"], 0x40000000)  # __WALL
    _check(_LIBC.ptrace(PTRACE_DETACH, victim["pid"], None, None))


def _memory_file(victim: dict[str, int]) -> str:
    fd = os.open(f"/proc/{victim['pid']}/mem", os.O_RDONLY)
    try:
        return os.pread(fd, len(SECRET.value), victim["address"]).decode()
    finally:
        os.close(fd)


def _memory_call(victim: dict[str, int]) -> str:
    class Piece(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    here = ctypes.create_string_buffer(len(SECRET))
    ours, theirs = Piece(ctypes.addressof(here), len(here)), Piece(victim["address"], len(here))
    read = _LIBC.process_vm_readv(
        victim["pid"], ctypes.byref(ours), 1, ctypes.byref(theirs), 1, ctypes.c_ulong(0)
    )
    _check(read)
    return here.value.decode()


def _their_environment(victim: dict[str, int]) -> None:
    Path(f"/proc/{victim['pid']}/environ").read_bytes()


def _their_descriptors(victim: dict[str, int]) -> None:
    os.close(os.open(f"/proc/{victim['pid']}/fd/0", os.O_RDONLY))


def _own_environment(victim: dict[str, int]) -> str:
    return repr(dict(os.environ))


def _program(victim: dict[str, int]) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def _signal(victim: dict[str, int]) -> None:
    os.kill(victim["pid"], signal.SIGURG)  # which it ignores


def _their_limits(victim: dict[str, int]) -> None:
    limits = resource.prlimit(victim["pid"], resource.RLIMIT_CORE)
    resource.prlimit(victim["pid"], resource.RLIMIT_CORE, limits)


def _more_descriptors(victim: dict[str, int]) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + 1, most + 1))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from error


def _exhaust_descriptors(victim: dict[str, int]) -> int:
    """Open as many descriptors as possible; close them, to be able to report, and count them."""
    held: list[int] = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    finally:
        for fd in held:
            os.close(fd)
    return len(held)


def _inherited_pipes(victim: dict[str, Any]) -> list[int]:
    """Return the descriptors of pipes that this process was started with, but for its output."""
    return [fd for fd in range(3, 64) if _is_pipe(fd)]


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _fill_inherited_pipes(victim: dict[str, Any]) -> int:
    """Keep those pipes full, and have all who write to them wait; return how many there are."""
    pipes = _inherited_pipes(victim)
    for fd in pipes:
        os.set_blocking(fd, True)
        threading.Thread(target=_fill, args=(fd,), daemon=True).start()
    return len(pipes)


def _fill(fd: int) -> None:
    while True:
        os.write(fd, bytes(64 << 10))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


ATTACKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "be open": _be_open,
    "settle in": _settle_in,
    "start computing": _start_computing,
    "go on computing": _go_on_computing,
    "settle in as told": _settle_in_as_told,
    "read": _read,
    "list": _list,
    "write": _write,
    "remove": _remove,
    "set user id": _set_user_id,
    "open to all": _open_to_all,
    "give away": _give_away,
    "change times": _change_times,
    "attach": _attach,
    "signals by descriptor": _signals_by_descriptor,
    "outlive": _outlive,
    "fork": _fork,
    "take memory": _take_memory,
    "start threads": _start_threads,
    "take a memory file": _take_memory_file,
    "their priority": _their_priority,
    "their cores": _their_cores,
    "internet": _internet,
    "unix socket": _unix_socket,
    "connect": _connect,
    "internet from a child": _internet_from_a_child,
    "trace": _trace,
    "memory file": _memory_file,
    "memory call": _memory_call,
    "their environment": _their_environment,
    "their descriptors": _their_descriptors,
    "own environment": _own_environment,
    "program": _program,
    "signal": _signal,
    "their limits": _their_limits,
    "more descriptors": _more_descriptors,
    "exhaust descriptors": _exhaust_descriptors,
    "inherited pipes": _inherited_pipes,
    "fill inherited pipes": _fill_inherited_pipes,
}

# The platform's own process start, with this module as the instance; "free" is the same code
# without a sandbox, to show that each attack works there.
_MODULE = "tests.systems.serverless.live.attacks"
INSTANCE = Role("instance", _MODULE, SAYS, Incoming(Try), main, confine.confine)
FREE = Role("free", _MODULE, SAYS, Incoming(Try), main)
TEMPLATE = zygote.role_of(_MODULE, INSTANCE, FREE)

if __name__ == "__main__":
    process.main(INSTANCE, FREE, TEMPLATE)
