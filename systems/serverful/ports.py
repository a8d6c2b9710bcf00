"""Ports for servers that are to be started."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from systems.access import is_loopback
from systems.errors import DeploymentError
from systems.interface import Deployment


def ports(deployment: Deployment, count: int) -> Sequence[int]:
    """The deployment's and those after it; where it leaves them open, free ones. Refuses to listen
    to other machines, since these servers ask nobody for a token."""
    if not is_loopback(deployment.host):
        raise DeploymentError(
            f"host {deployment.host}: reached from other machines, and this system asks nobody for"
            " a token; listen on 127.0.0.1, behind a proxy that does"
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
