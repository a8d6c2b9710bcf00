"""A cluster's nodes for one run: the steward, started, waited for and ended."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Any

import psutil

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.rays import check_installed

from .session import end_session

_START_S = 240.0
"""For Ray to start here, and for nodes to make their models."""
_STOP_S = 15.0


def check_cluster(deployment: Deployment) -> None:
    """Refuse what could not be deployed on the cluster, before anything starts."""
    assert deployment.cluster is not None, "asked of a deployment on a cluster"
    address = ClusterAddress.parse(deployment.cluster)
    check_installed(address)
    address.check_reachable()
    _check_budget(deployment, address.local)


def _check_budget(deployment: Deployment, nodes: int) -> None:
    """Nodes that share this machine share its memory."""
    budget = nodes * sum(device.memory_bytes for device in deployment.devices)
    available = psutil.virtual_memory().available
    if budget > available:
        raise DeploymentError(
            f"cluster local:{nodes}: {budget / 2**30:.1f} GiB of budgets on {nodes} nodes exceed"
            f" the {available / 2**30:.1f} GiB of memory that this machine has free; give the"
            " devices less memory_bytes"
        )


class Nodes:
    """The agents of a run, by their steward. ``orders`` names the gateway and the secret."""

    def __init__(self, cluster: str, gateway: str, port: int, key: str) -> None:
        # A short name: Ray's sockets lie below it, and their paths may not be long.
        self._folder = tempfile.mkdtemp(prefix="slbench-ray-")
        command = [sys.executable, "-m", f"{__package__}.supervisor"]
        self._supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        orders = {
            "cluster": cluster,
            "gateway": gateway,
            "port": port,
            "secret": key,
            "folder": self._folder,
        }
        assert self._supervisor.stdin is not None, "asked for a pipe"
        with suppress(BrokenPipeError):
            self._supervisor.stdin.write(f"{json.dumps(orders)}\n")
            self._supervisor.stdin.flush()

    def await_ready(self) -> tuple[str, ...]:
        """Names of the nodes there at the start, once all are in use. ``DeploymentError``."""
        assert self._supervisor.stdout is not None, "asked for a pipe"
        timer = threading.Timer(_START_S, self._supervisor.kill)
        timer.start()
        line = self._supervisor.stdout.readline()
        timer.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {}
        if "ready" in answer:
            return tuple(answer["ready"])
        raise DeploymentError(
            answer.get("error", "the node supervisor ended; its last words are on stderr")
        )

    def stop(self) -> None:
        """End the agents, and Ray where it was started here; nothing of either is left."""
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
