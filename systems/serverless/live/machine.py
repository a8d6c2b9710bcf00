"""Whether a machine can stand in for the devices that it is said to have."""

from __future__ import annotations

import psutil

from systems.errors import DeploymentError
from systems.interface import Deployment

from . import mps


def check_machine(deployment: Deployment) -> None:
    """Refuse devices that this machine cannot stand in for, before anything starts."""
    kinds = [device.kind for device in deployment.devices]
    if "cuda" in kinds:
        _check_card(deployment)
        return
    budget = sum(device.memory_bytes for device in deployment.devices)
    available = psutil.virtual_memory().available
    if budget > available:
        raise DeploymentError(
            f"devices: {budget / 2**30:.1f} GiB of budgets exceed the {available / 2**30:.1f} GiB"
            " of memory that this machine has free; give the devices less memory_bytes"
        )


def _check_card(deployment: Deployment) -> None:
    """One card, as large as it is said to be. It is asked by the driver's own library, which
    starts no CUDA context here."""
    if len(deployment.devices) > 1:
        names = ", ".join(device.name for device in deployment.devices)
        raise DeploymentError(f"devices {names}: the live platform uses one card, cuda:0")
    import pynvml

    device = deployment.devices[0]
    try:
        pynvml.nvmlInit()
        total = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).total
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise DeploymentError(f"device {device.name}: no card answers ({error})") from error
    if device.memory_bytes > total:
        raise DeploymentError(
            f"device {device.name}: {device.memory_bytes / 2**30:.1f} GiB exceed the"
            f" {total / 2**30:.1f} GiB of the card"
        )


def check_mps(deployment: Deployment) -> None:
    """Refuse MPS where it cannot be, or would not be everywhere."""
    kind = deployment.devices[0].kind
    if kind != "cuda":
        raise DeploymentError(f"option mps: it is of CUDA, and the devices are {kind}")
    if deployment.cluster is not None:
        raise DeploymentError("option mps: it is for one machine; leave it out on a cluster")
    mps.check()
