"""Ports for servers to start."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from systems.access import is_loopback
from systems.errors import DeploymentError
from systems.interface import Deployment


def ports(deployment: Deployment, count: int) -> Sequence[int]:
    """Return the deployment's port and those after it, or free ports if it names none. Raise
    ``DeploymentError`` for other hosts than loopback: these servers do not check tokens."""
    if not is_loopback(deployment.host):
        raise DeploymentError(
            f"host {deployment.host}: other machines can reach it, and this system checks no access"
            " tokens; listen on 127.0.0.1, behind a proxy that checks them"
        )
    if deployment.port:
        return range(deployment.port, deployment.port + count)
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((deployment.host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
