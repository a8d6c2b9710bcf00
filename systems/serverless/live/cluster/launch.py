"""Starts and stops the nodes of a cluster for one run, through the node supervisor."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

import psutil

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.rays import check_installed
from systems.serverless.options import Options

from ..start_messages import NodesReady, Orders, Preparing, StartFailed, read, write
from .session import end_session

_SILENT_S = 240.0
"""Timeout for the node supervisor's next line: for Ray to start here. While it waits for nodes, for
which the deployment has a timeout, it prints a line every few seconds."""
_STOP_S = 15.0
_SAID = Preparing | NodesReady | StartFailed


def check_cluster(deployment: Deployment) -> None:
    """Raise ``DeploymentError``, before any process starts, if the cluster cannot be used."""
    assert deployment.cluster is not None, "asked of a deployment on a cluster"
    address = ClusterAddress.parse(deployment.cluster)
    check_installed(address)
    address.check_reachable()
    if deployment.devices[0].kind == "cpu":
        _check_budget(deployment, address.local)


def _check_budget(deployment: Deployment, nodes: int) -> None:
    """Check that the nodes on this machine, which share its memory, fit into it."""
    budget = nodes * sum(device.memory_bytes for device in deployment.devices)
    available = psutil.virtual_memory().available
    if budget > available:
        raise DeploymentError(
            f"cluster local:{nodes}: {budget / 2**30:.1f} GiB of budgets on {nodes} nodes exceed"
            f" the {available / 2**30:.1f} GiB of memory that this machine has free; give the"
            " devices less memory_bytes"
        )


class Nodes:
    """Runs the agents of ``deployment`` through the node supervisor. ``key`` is the secret of the
    run."""

    def __init__(self, deployment: Deployment, gateway: str, port: int, key: str) -> None:
        assert deployment.cluster is not None, "asked of a deployment on a cluster"
        # A short name: it contains Ray's sockets, whose paths have a maximum length.
        self._folder = tempfile.mkdtemp(prefix="slbench-ray-")
        command = [sys.executable, "-m", f"{__package__}.supervisor"]
        self._supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        gpus = sum(device.kind == "cuda" for device in deployment.devices)
        within_s = Options.model_validate(dict(deployment.options)).nodes_timeout_s
        orders = Orders(deployment.cluster, gateway, port, key, self._folder, within_s, gpus)
        assert self._supervisor.stdin is not None, "asked for a pipe"
        with suppress(BrokenPipeError):
            write(orders, self._supervisor.stdin)

    def await_ready(self) -> tuple[str, ...]:
        """Wait until all initial nodes run; return their names, or raise ``DeploymentError``."""
        answer: Preparing | NodesReady | StartFailed = Preparing("Ray to start")
        while isinstance(answer, Preparing):
            answer = self._next_line(answer.what)
        if isinstance(answer, StartFailed):
            raise answer.exception()
        return answer.names

    def _next_line(self, awaited: str) -> Preparing | NodesReady | StartFailed:
        """Read what the supervisor says next; it waits for ``awaited``. End it if it is silent."""
        assert self._supervisor.stdout is not None, "asked for a pipe"
        silent = threading.Event()
        timer = threading.Timer(_SILENT_S, self._end_silent, [silent])
        timer.start()
        line = self._supervisor.stdout.readline()
        timer.cancel()
        end = f"was silent for {_SILENT_S:g} s" if silent.is_set() else "ended"
        ended = f"the node supervisor {end} while it waited for {awaited}; its last output is on"
        said: Preparing | NodesReady | StartFailed = read(line, _SAID, f"{ended} stderr")
        return said

    def _end_silent(self, silent: threading.Event) -> None:
        silent.set()
        self._supervisor.kill()

    def stop(self) -> None:
        """End all agents, and Ray if it was started here, and remove their files."""
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._supervisor.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        end_session(self._supervisor.pid)
        shutil.rmtree(self._folder, ignore_errors=True)
