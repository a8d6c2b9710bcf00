"""Finds and checks free ports."""

from __future__ import annotations

import socket

from ..errors import HarnessError


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now. The kernel assigns other ports before it repeats one."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_free(port: int, host: str = "127.0.0.1") -> None:
    """Raise :class:`HarnessError` if the port is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HarnessError(f"port {port} is in use on {host}; choose another") from error
