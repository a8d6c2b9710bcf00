"""Checks that this machine has the devices of a deployment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from systems.errors import DeploymentError
from systems.interface import Deployment, Device
from systems.runtime import cards

from . import mps


def check_machine(deployment: Deployment) -> None:
    """Raise ``DeploymentError`` if this machine lacks the devices. Starts nothing."""
    kinds = [device.kind for device in deployment.devices]
    if "cuda" in kinds:
        _check_cards(deployment)
        return
    budget = sum(device.memory_bytes for device in deployment.devices)
    available = psutil.virtual_memory().available
    if budget > available:
        raise DeploymentError(
            f"devices: {budget / 2**30:.1f} GiB of budgets exceed the {available / 2**30:.1f} GiB"
            " of free memory on this machine; give the devices less memory_bytes"
        )


def _check_cards(deployment: Deployment) -> None:
    """Check for a GPU of at least the given size for each device. Uses the driver's management
    library, which starts no CUDA context in this process."""
    import pynvml

    names = ", ".join(device.name for device in deployment.devices)
    try:
        sizes = [pynvml.nvmlDeviceGetMemoryInfo(each).total for each in cards.handles()]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise DeploymentError(f"devices {names}: no GPU responds ({error})") from error
    for device in deployment.devices:
        _check_card(device, sizes)


def _check_card(device: Device, sizes: Sequence[int]) -> None:
    index = cards.index(device.name)
    if index >= len(sizes):
        visible = os.environ.get(cards.VISIBLE)
        shown = "" if visible is None else f" ({cards.VISIBLE}={visible})"
        raise DeploymentError(
            f"device {device.name}: this machine has {len(sizes)} GPUs{shown}; give the deployment"
            " no more devices"
        )
    if device.memory_bytes > sizes[index]:
        raise DeploymentError(
            f"device {device.name}: {device.memory_bytes / 2**30:.1f} GiB exceed the"
            f" {sizes[index] / 2**30:.1f} GiB of the GPU"
        )


def check_mps(deployment: Deployment) -> None:
    """Raise ``DeploymentError`` if the deployment cannot use MPS."""
    kind = deployment.devices[0].kind
    if kind != "cuda":
        raise DeploymentError(f"option mps: it needs cuda devices, the devices are {kind}")
    if deployment.cluster is not None:
        raise DeploymentError("option mps: it works on one machine only; omit it on a cluster")
    mps.check()
