"""The address of a cluster: ``local:N`` for N nodes on this machine, or that of a Ray head."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from systems.errors import DeploymentError

LOOPBACK = "127.0.0.1"
_REACH_S = 3.0


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """``local`` nodes on this machine, or (0) all nodes of the Ray cluster with head ``host``."""

    local: int = 0
    host: str = LOOPBACK
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> ClusterAddress:
        if found := re.fullmatch(r"local:([1-9]\d{0,2})", text):
            return cls(local=int(found[1]))
        found = re.fullmatch(r"(?!local:)([A-Za-z0-9.-]+):([1-9]\d{0,4})", text)
        if found and int(found[2]) < 1 << 16:
            return cls(host=found[1], port=int(found[2]))
        raise DeploymentError(
            f"cluster {text!r}: write local:N for N nodes on this machine, or the HOST:PORT of a"
            " Ray cluster's head"
        )

    @property
    def text(self) -> str:
        return f"local:{self.local}" if self.local else f"{self.host}:{self.port}"

    def check_reachable(self) -> None:
        """Raise ``DeploymentError`` if the head does not answer; Ray would try for a minute."""
        if self.local:
            return
        try:
            socket.create_connection((self.host, self.port), _REACH_S).close()
        except OSError as error:
            raise DeploymentError(
                f"cluster {self.text}: cannot connect to its head ({error}); start it with"
                f" ray start --head --node-ip-address={self.host} --port={self.port}"
            ) from error

    def our_address(self) -> str:
        """Return the address of this machine on the route to the head, where nodes can connect to
        it. Nothing is sent."""
        if self.local:
            return LOOPBACK
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.host, self.port))
            return str(probe.getsockname()[0])
