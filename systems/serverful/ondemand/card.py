"""Memory of processes on a card, by the driver's management library."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from systems.errors import DeploymentError
from systems.runtime import cards

_UNREADABLE = "memory on the card cannot be read ({})"


class Card:
    """The card ``cuda:N``. Raises ``DeploymentError`` if the driver does not respond."""

    def __init__(self, device: str) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            self._handle = cards.handles()[int(device.partition(":")[2])]
            self._before = self._used()
        except IndexError:
            raise DeploymentError(f"device {device}: this machine has fewer cards") from None
        except pynvml.NVMLError as error:
            raise DeploymentError(
                f"device {device}: its memory cannot be read ({error})"
            ) from error

    def listed(self, pids: Collection[int]) -> int | None:
        """Return the bytes that these processes hold; None if the driver does not list them, as
        inside a container. Raise ``DeploymentError`` if it does not respond."""
        try:
            told = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._nvml.NVMLError as error:
            raise DeploymentError(_UNREADABLE.format(error)) from error
        mine = [each.usedGpuMemory for each in told if each.pid in pids]
        return int(sum(mine)) if mine and None not in mine else None

    def grown(self) -> int:
        """Return the bytes that the card's memory has grown by since this object was made. Raise
        ``DeploymentError`` if the driver does not respond."""
        try:
            return max(0, self._used() - self._before)
        except self._nvml.NVMLError as error:
            raise DeploymentError(_UNREADABLE.format(error)) from error

    def _used(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
