"""Startup of every child process, whatever its role."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from systems.engine.cuda import context
from systems.errors import ConfinementError

from . import cards
from .channel import Channel
from .messages import Failed
from .roles import Role, by_name
from .sandbox import environment as variables
from .sandbox import measures

PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def environment(visible: str = "") -> dict[str, str]:
    """Return the environment of a new interpreter. It sets one thread, since a template must not
    run more; the *kernels* artifact changes that later. It forbids access to model hubs.
    ``visible``: the only GPUs that it sees, as ``CUDA_VISIBLE_DEVICES``; "": as this process."""
    seen = {cards.VISIBLE: visible} if visible else {}
    return {
        **context.ENVIRONMENT,
        **variables.needed(os.environ),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        # pyarrow, which transformers may import, can start a thread for its allocator.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **seen,
    }


def settle(parent: int) -> None:
    """Make this process die with ``parent`` (a pid), and leave terminal signals to it. Its children
    cannot gain more privileges than it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    measures.gain_nothing()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getppid() != parent:
        os._exit(0)


def import_libraries(device: str) -> None:
    """Load the *libraries* artifact: all modules that a function's process needs on this kind of
    device. For a GPU this starts programs, which the sandbox of a process on the CPU forbids,
    whatever the machine has."""
    # Collections among what is being imported find nothing, and take a sixth of the time.
    gc.disable()
    import systems.engine.libraries  # noqa: F401

    if device == "cuda":
        from systems.engine.cuda import pre_import

        pre_import.load()
    # Imported objects are never freed. A garbage collection in a fork would write to (and so copy)
    # the pages that it shares with the template.
    leave_out_of_collections()
    gc.enable()


def leave_out_of_collections() -> None:
    """Let garbage collections skip what is there by now. One over all modules of a server takes
    tens of ms, in which no request gets its tokens."""
    gc.collect()
    gc.freeze()


def become(role: Role, sock: socket.socket, device: str) -> NoReturn:
    """Run ``role`` on ``sock`` to its end, in the sandbox for its kind of device, as a process of
    the role's name. Exit directly: a forked interpreter has nothing to clean up, and the kernel
    frees torch faster than torch does itself."""
    status = 1
    _name(role.name)
    channel = Channel(sock, role.hears)
    try:
        role.confine(device)
        status = role.main(channel)
    except ConfinementError as error:
        channel.send(Failed(f"not confined: {error}"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _name(name: str) -> None:
    """Show the role where the kernel lists processes, since all forks have one command line."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def start_of(role: Role, fd: int, device: str) -> list[str]:
    """Return the command that starts ``role`` in a new interpreter, with its channel as ``fd``."""
    return [sys.executable, "-m", role.module, role.name, str(fd), str(os.getpid()), device]


def main(*roles: Role) -> NoReturn:
    """Entry point of ``python -m MODULE ROLE FD PARENT DEVICE``: run one of the module's roles."""
    name, fd, parent, device = sys.argv[1:]
    settle(int(parent))
    become(by_name(*roles)[name], socket.socket(fileno=int(fd)), device)
