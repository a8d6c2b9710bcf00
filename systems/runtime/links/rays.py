"""Starts a local Ray for a run, or joins a running one. Usage reports to Ray's makers are off."""

from __future__ import annotations

import importlib.util
import os
import secrets
from typing import Any

from systems.errors import DeploymentError

from .address import LOOPBACK, ClusterAddress

_LEAST_STORE = 80 << 20
"""Minimum size that Ray accepts for its object store; nothing large passes through it here."""
_TOKEN = secrets.token_hex(32)
"""The same for all local Rays of a process, since Ray reads it once."""
_ATTEMPTS = 4
"""Attempts to start a local Ray: its own timeout of half a minute can be too short when all cores
are busy."""


def check_installed(address: ClusterAddress) -> None:
    if importlib.util.find_spec("ray") is None:
        raise DeploymentError(
            f"cluster {address.text}: Ray is not installed; pip install"
            " 'serverless-lora-bench[cluster]'"
        )


def connect(address: ClusterAddress, folder: str, cpus: int = 0) -> Any:
    """Return the module, connected. A local Ray has its files in ``folder``, listens on loopback,
    requires a secret token, and runs ``cpus`` tasks at once. Raise ``DeploymentError``."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}
    if address.local:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
    import ray

    left = _ATTEMPTS if address.local else 1
    while left:
        left -= 1
        try:
            ray.init(**_settings(address, folder, cpus))
            break
        except Exception as error:  # Ray raises errors of any class
            if left:
                continue
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DeploymentError(f"cluster {address.text}: {why}") from error
    return ray


def _settings(address: ClusterAddress, folder: str, cpus: int) -> dict[str, Any]:
    if not address.local:
        return {"address": address.text, "logging_level": "error"}
    return {
        "address": "local",
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": _LEAST_STORE,
        "logging_level": "error",
        "_node_ip_address": LOOPBACK,
        "_temp_dir": folder,
    }
