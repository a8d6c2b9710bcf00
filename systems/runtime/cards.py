"""The GPUs that this process may use, as the driver's management library (NVML) knows them."""

from __future__ import annotations

import os
from typing import Any


def handles() -> list[Any]:
    """Return NVML's handles of the GPUs in the order in which CUDA numbers them: those that
    ``CUDA_VISIBLE_DEVICES`` names by index or UUID, or all. NVML itself ignores that variable.
    Starts no CUDA context. Raises ``pynvml.NVMLError`` without a driver or a GPU of that name."""
    import pynvml

    pynvml.nvmlInit()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return [_handle(name.strip()) for name in named.split(",") if name.strip()]


def _handle(name: str) -> Any:
    import pynvml

    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)
