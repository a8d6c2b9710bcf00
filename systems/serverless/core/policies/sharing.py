"""Which copy of its backbone an instance uses."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import CopyKey
from ..policy import Policy


class Sharing(Policy, ABC):
    @abstractmethod
    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:
        """Return the copy that ``instance`` on ``device`` reads its backbone's weights from."""


class SharedPerDevice(Sharing):
    """One read-only copy per device, mapped by all its instances (ServerlessLoRA)."""

    name = "one-copy-per-device"

    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:  # noqa: ARG002
        return CopyKey(backbone, device)


class PrivatePerInstance(Sharing):
    """Each instance loads its own copy (InstaInfer, ServerlessLLM)."""

    name = "copy-per-instance"

    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:
        return CopyKey(backbone, device, instance)
