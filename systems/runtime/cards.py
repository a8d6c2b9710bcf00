"""The GPUs that this process may use, as the driver's management library (NVML) knows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that CUDA shows a process, in its order; read when the process starts CUDA."""


def handles() -> list[Any]:
    """Return NVML's handles of the GPUs in the order in which CUDA numbers them: those that
    ``CUDA_VISIBLE_DEVICES`` names by index or UUID, or all. NVML itself ignores that variable.
    Starts no CUDA context. Raises ``pynvml.NVMLError`` without a driver or a GPU of that name."""
    import pynvml

    pynvml.nvmlInit()
    named = os.environ.get(VISIBLE)
    if named is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return [_handle(name.strip()) for name in named.split(",") if name.strip()]


def _handle(name: str) -> Any:
    import pynvml

    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def memory_by_process(uuid: str) -> Mapping[int, int]:
    """Return the bytes that the driver counts on a GPU for each process id; empty where it cannot
    tell, as in a container that has process ids of its own."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(_handle(uuid))
        return {each.pid: int(each.usedGpuMemory or 0) for each in found}
    return {}


def memory_of(device: str) -> int | None:
    """Return the bytes of memory of the GPU of a device; None without a driver or that GPU."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError, IndexError):
        return int(pynvml.nvmlDeviceGetMemoryInfo(handles()[index(device)]).total)
    return None


def one_of_each_kind(devices: Iterable[str]) -> Mapping[int | None, str]:
    """Return a GPU's UUID for each compute capability that the GPUs of ``devices`` have, by that
    capability as Triton writes it (90 for 9.0). Without a driver or these GPUs: "" for None."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError, IndexError):
        seen = handles()
        found = [seen[index(device)] for device in devices]
        return {_capability(handle): _uuid(handle) for handle in reversed(found)}
    return {None: ""}


def _capability(handle: Any) -> int:
    import pynvml

    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return int(10 * major + minor)


def index(device: str) -> int:
    """Return N of a device's name ``cuda:N``."""
    return int(device.rpartition(":")[2])


def number(device: str) -> str:
    """Return how ``VISIBLE`` names the GPU of a device in this process's environment, for programs
    that take no UUIDs. Raises ``IndexError`` if that shows fewer GPUs."""
    named = os.environ.get(VISIBLE)
    found = None if named is None else [each.strip() for each in named.split(",") if each.strip()]
    return str(index(device)) if found is None else found[index(device)]


@dataclass(frozen=True, slots=True)
class Cards:
    """The GPUs of a node's devices, as UUIDs by the devices' names. Empty on the CPU."""

    uuids: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, devices: Iterable[str]) -> Self:
        """Return the GPUs of ``devices``, all of one kind. Raises as :func:`handles`, and
        ``IndexError`` if there are too few."""
        names = [each for each in devices if each.startswith("cuda")]
        found = handles() if names else []
        return cls({name: _uuid(found[index(name)]) for name in names})

    def uuid(self, device: str) -> str:
        """Return the UUID of a device, whose name may begin with its node's (``NODE/cuda:N``); ""
        on the CPU."""
        return self.uuids[device.rpartition("/")[2]] if self.uuids else ""

    def all_from(self, first: str) -> str:
        """Return all GPUs as :data:`VISIBLE` lists them, the one of UUID ``first`` first."""
        return ",".join([first, *(each for each in self.uuids.values() if each != first)])


def _uuid(handle: Any) -> str:
    import pynvml

    return str(pynvml.nvmlDeviceGetUUID(handle))


def see_only(visible: str) -> None:
    """Let CUDA show this process the GPUs ``visible`` (as :data:`VISIBLE`) only; "": those that its
    parent saw. Without effect once this process has started CUDA."""
    if visible:
        os.environ[VISIBLE] = visible
