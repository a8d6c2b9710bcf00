"""Whether this machine has the cards of a deployment, by a scripted driver."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device
from systems.serverless.live.machine import check_machine

GIB = 2**30


class Nvml:
    """GPUs of 80 and 48 GiB; a handle is a GPU's size."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return (80 * GIB, 48 * GIB)[index]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=handle)


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def on(deployment: Deployment, *gib: int) -> Deployment:
    devices = tuple(Device(name=f"cuda:{n}", memory_bytes=size * GIB) for n, size in enumerate(gib))
    return deployment.model_copy(update={"devices": devices})


def test_each_device_is_compared_with_the_card_of_its_number(deployment: Deployment) -> None:
    check_machine(on(deployment, 76, 44))
    with pytest.raises(DeploymentError, match=r"cuda:1: 76.0 GiB exceed the 48.0 GiB of the GPU"):
        check_machine(on(deployment, 76, 76))


def test_a_machine_with_too_few_cards_is_refused_in_a_line(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeploymentError, match=r"^device cuda:2: this machine has 2 GPUs; [^\n]+$"):
        check_machine(on(deployment, 40, 40, 40))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(DeploymentError, match=r"has 1 GPUs \(CUDA_VISIBLE_DEVICES=0\)"):
        check_machine(on(deployment, 40, 40))
