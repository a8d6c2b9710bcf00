"""CUDA MPS for one platform: a control daemon with its own pipes and logs, which ends with the
platform.

The daemon detaches from the process that starts it, so a *guard* process starts and ends it:
``python -m systems.serverless.live.mps FOLDER`` starts it, reports that, and ends it when its
standard input closes, which happens however the platform ends. No compute mode is changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from systems.errors import DeploymentError

PROGRAM = "nvidia-cuda-mps-control"
ISOLATION_GAP = "MPS: a fault of one process on the card ends the others' contexts"
_END_S = 5
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def check() -> None:
    """Raise ``DeploymentError`` if MPS is not installed."""
    if shutil.which(PROGRAM) is None:
        raise DeploymentError(
            f"option mps: the program {PROGRAM} is not on the path; install the driver's"
            " utilities, or omit the option"
        )


def variables(folder: Path) -> dict[str, str]:
    """Return the environment variables by which CUDA finds the daemon of ``folder``."""
    return {
        "CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"),
        "CUDA_MPS_LOG_DIRECTORY": str(folder / "log"),
    }


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables for CUDA processes while a daemon runs. Creates ``folder``, whose path
    must be short (it holds sockets). Raise ``DeploymentError`` if the daemon does not start."""
    check()
    guard = subprocess.Popen(
        [sys.executable, "-m", "systems.serverless.live.mps", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        answer = guard.stdout.readline().strip()
        if answer != "ready":
            raise DeploymentError(f"option mps: {PROGRAM} did not start: {answer}")
        yield variables(folder)
    finally:
        guard.stdin.close()
        guard.wait()
        guard.stdout.close()


def main() -> int:
    folder = Path(sys.argv[1])
    for name in ("pipe", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **variables(folder)}
    # The daemon detaches from its starter, and its servers from the daemon. As a subreaper, this
    # process becomes their parent, so it can end and reap them.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_CHILD_SUBREAPER, 1)
    # The daemon keeps what it inherits open, so it must not inherit our pipes.
    with (folder / "log" / "start").open("w+", encoding="utf-8") as said:
        started = subprocess.run(
            [PROGRAM, "-d"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=False,
        )
        said.seek(0)
        words = " ".join(said.read().split())
    print("ready" if started.returncode == 0 else words or started.returncode, flush=True)
    if started.returncode == 0:
        sys.stdin.read()
        _end(environment)
    return started.returncode


def _end(environment: dict[str, str]) -> None:
    """Ask the daemon and its servers to quit, then kill them."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        command = f"quit -t {_END_S}\n"
        subprocess.run(
            [PROGRAM], env=environment, input=command, text=True, capture_output=True,
            timeout=2 * _END_S, check=False,
        )  # fmt: skip
    deadline = time.monotonic() + 2 * _END_S
    while _reap() and time.monotonic() < deadline:
        time.sleep(0.02)
    while _reap():
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _reap() -> bool:
    """Reap the children that have ended; return whether any is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _children() -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process().children()]


if __name__ == "__main__":
    sys.exit(main())
