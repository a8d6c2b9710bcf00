"""What every process of the platform does first, whatever its role."""

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

from .channel import Channel
from .messages import Failed
from .roles import Role, by_name
from .sandbox import confine

PR_SET_PDEATHSIG = 1


def environment() -> dict[str, str]:
    """For processes that start from nothing. One thread until the *kernels* artifact says
    otherwise, since a template must not run any; hubs are never asked."""
    return {
        **context.ENVIRONMENT,
        **confine.environment(os.environ),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        # pyarrow, where transformers brings it in, may start a thread of its allocator's.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def settle(parent: int) -> None:
    """Die with ``parent`` (a pid), whatever its end, and leave terminal signals to it. Whatever
    it starts has no more privileges than it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    confine.gain_nothing()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getppid() != parent:
        os._exit(0)


def import_libraries() -> None:
    """The *libraries* artifact: all that a function's process imports before it can load."""
    import systems.engine.libraries  # noqa: F401

    # What was imported stays: freeze it, so that a collection in a child touches (and so
    # copies) none of the pages it shares with the process it was forked from.
    gc.collect()
    gc.freeze()


def become(role: Role, sock: socket.socket, device: str) -> NoReturn:
    """Run ``role`` on ``sock`` to its end, confined as its kind of device allows. Ends the
    process itself: an interpreter that was forked has nothing to tidy, and unwinding torch takes
    longer than the kernel does."""
    status = 1
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


def start_of(role: Role, fd: int, device: str) -> list[str]:
    """The command that starts ``role`` from nothing, with its channel as ``fd``."""
    return [sys.executable, "-m", role.module, role.name, str(fd), str(os.getpid()), device]


def main(*roles: Role) -> NoReturn:
    """``python -m MODULE ROLE FD PARENT DEVICE``: one of the module's roles from nothing."""
    name, fd, parent, device = sys.argv[1:]
    settle(int(parent))
    become(by_name(*roles)[name], socket.socket(fileno=int(fd)), device)
