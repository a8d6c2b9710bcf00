"""Ray, started here for a run or joined where it runs. It reports nothing to its makers."""

from __future__ import annotations

import importlib.util
import os
import secrets
from typing import Any

from systems.errors import DeploymentError

from .address import LOOPBACK, ClusterAddress

_LEAST_STORE = 80 << 20
"""Nothing large passes through Ray's store of objects here; it wants as much."""
_ATTEMPTS = 4
"""At starting Ray here: it gives itself half a minute, which is not always enough where all cores
are taken."""


def check_installed(address: ClusterAddress) -> None:
    if importlib.util.find_spec("ray") is None:
        raise DeploymentError(
            f"cluster {address.text}: Ray is not installed; pip install"
            " 'serverless-lora-bench[cluster]'"
        )


def connect(address: ClusterAddress, folder: str, cpus: int = 0) -> Any:
    """The module, connected. A local Ray has its files in ``folder``, listens on loopback to who
    knows a secret of its own, and has room for ``cpus`` tasks at once. ``DeploymentError``."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}
    if address.local:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    left = _ATTEMPTS if address.local else 1
    while left:
        left -= 1
        try:
            ray.init(**_settings(address, folder, cpus))
            break
        except Exception as error:  # of any class, as Ray raises them
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
