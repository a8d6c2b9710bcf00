"""Checks that this machine has the devices of a deployment."""

from __future__ import annotations

import psutil

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.runtime import cards

from . import mps


def check_machine(deployment: Deployment) -> None:
    """Raise ``DeploymentError`` if this machine lacks the devices. Starts nothing."""
    kinds = [device.kind for device in deployment.devices]
    if "cuda" in kinds:
        _check_card(deployment)
        return
    budget = sum(device.memory_bytes for device in deployment.devices)
    available = psutil.virtual_memory().available
    if budget > available:
        raise DeploymentError(
            f"devices: {budget / 2**30:.1f} GiB of budgets exceed the {available / 2**30:.1f} GiB"
            " of free memory on this machine; give the devices less memory_bytes"
        )


def _check_card(deployment: Deployment) -> None:
    """Check for a single GPU of at least the given size. Uses the driver's management library,
    which starts no CUDA context in this process."""
    if len(deployment.devices) > 1:
        names = ", ".join(device.name for device in deployment.devices)
        raise DeploymentError(f"devices {names}: the live platform uses one GPU, cuda:0")
    import pynvml

    device = deployment.devices[0]
    try:
        found = cards.handles()
        if not found:
            raise DeploymentError(f"device {device.name}: CUDA_VISIBLE_DEVICES names no GPU")
        total = pynvml.nvmlDeviceGetMemoryInfo(found[0]).total
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise DeploymentError(f"device {device.name}: no GPU responds ({error})") from error
    if device.memory_bytes > total:
        raise DeploymentError(
            f"device {device.name}: {device.memory_bytes / 2**30:.1f} GiB exceed the"
            f" {total / 2**30:.1f} GiB of the GPU"
        )


def check_mps(deployment: Deployment) -> None:
    """Raise ``DeploymentError`` if the deployment cannot use MPS."""
    kind = deployment.devices[0].kind
    if kind != "cuda":
        raise DeploymentError(f"option mps: it needs cuda devices, the devices are {kind}")
    if deployment.cluster is not None:
        raise DeploymentError("option mps: it works on one machine only; omit it on a cluster")
    mps.check()
