"""Memory of processes on a card, by the driver's management library."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from systems.errors import DeploymentError


class Card:
    """The card ``cuda:N``. Raises ``DeploymentError`` if the driver does not respond."""

    def __init__(self, device: str) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            index = int(device.partition(":")[2])
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            self._before = self._used()
        except pynvml.NVMLError as error:
            raise DeploymentError(
                f"device {device}: its memory cannot be read ({error})"
            ) from error

    def held(self, pids: Collection[int], others: int) -> int:
        """Return the bytes that these processes hold. Inside a container the driver lists no
        processes: then it is what the card's memory has grown by, less ``others``, the bytes that
        other servers hold. Raise
        ``DeploymentError`` if the driver does not respond."""
        try:
            told = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
            mine = [each.usedGpuMemory for each in told if each.pid in pids]
            if mine and None not in mine:
                return int(sum(mine))
            return max(0, self._used() - self._before - others)
        except self._nvml.NVMLError as error:
            raise DeploymentError(f"its memory on the card cannot be read ({error})") from error

    def _used(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
