"""Ports for servers that are to be started."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from systems.interface import Deployment


def ports(deployment: Deployment, count: int) -> Sequence[int]:
    """The deployment's and those after it; where it leaves them open, free ones."""
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
