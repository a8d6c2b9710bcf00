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

from ..start_messages import NodesReady, Orders, StartFailed, read, write
from .session import end_session

_START_S = 240.0
"""Timeout for Ray to start here and for nodes to make their models."""
_STOP_S = 15.0


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
    """Runs the agents through the node supervisor. ``key`` is the secret of the run; ``gpus``: of
    each node."""

    def __init__(self, cluster: str, gateway: str, port: int, key: str, gpus: int = 0) -> None:
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
        orders = Orders(cluster, gateway, port, key, self._folder, gpus)
        assert self._supervisor.stdin is not None, "asked for a pipe"
        with suppress(BrokenPipeError):
            write(orders, self._supervisor.stdin)

    def await_ready(self) -> tuple[str, ...]:
        """Wait until all initial nodes run; return their names, or raise ``DeploymentError``."""
        assert self._supervisor.stdout is not None, "asked for a pipe"
        timer = threading.Timer(_START_S, self._supervisor.kill)
        timer.start()
        line = self._supervisor.stdout.readline()
        timer.cancel()
        ended = "the node supervisor ended; its last output is on stderr"
        answer: NodesReady | StartFailed = read(line, NodesReady | StartFailed, ended)
        if isinstance(answer, StartFailed):
            raise answer.exception()
        return answer.names

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
