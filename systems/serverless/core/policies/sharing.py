"""Which copy of its backbone an instance uses."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import CopyKey
from ..policy import Policy


class Sharing(Policy, ABC):
    @abstractmethod
    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:
        """The copy that ``instance`` on ``device`` reads its backbone's weights from."""


class SharedPerDevice(Sharing):
    """One read-only copy a device, mapped by every instance there (ServerlessLoRA)."""

    name = "one-copy-per-device"

    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:  # noqa: ARG002
        return CopyKey(backbone, device)


class PrivatePerInstance(Sharing):
    """Each instance loads a copy of its own (InstaInfer, ServerlessLLM)."""

    name = "copy-per-instance"

    def copy_for(self, backbone: str, device: str, instance: int) -> CopyKey:
        return CopyKey(backbone, device, instance)
