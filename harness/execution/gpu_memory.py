"""Memory of GPUs, as their driver tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from systems.runtime import cards


class GpuMemory:
    """Reads GPU memory through NVML, if available; else adds the reason to ``missing``."""

    def __init__(self, missing: list[str]) -> None:
        import pynvml

        self._nvml = pynvml
        self._handles: dict[str, Any] = {}
        try:
            for index, handle in enumerate(cards.handles()):
                self._handles[f"cuda:{index}"] = handle
        except pynvml.NVMLError as error:
            missing.append(f"nvml: {error}")

    def read(self, family: Sequence[int]) -> Mapping[str, int]:
        """Return the bytes that the processes ``family`` hold, by device; of the whole device where
        the driver does not tell them apart."""
        found = {name: self._used(handle, set(family)) for name, handle in self._handles.items()}
        return {name: used for name, used in found.items() if used is not None}

    def _used(self, handle: Any, family: set[int]) -> int | None:
        try:
            told = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            mine = [each.usedGpuMemory for each in told if each.pid in family]
            if mine and None not in mine:
                return int(sum(mine))
            # Inside a container the driver lists none of our processes: read the whole device.
            return int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        except self._nvml.NVMLError:
            return None
