"""The backbone store on a CUDA device: memory that instances map and cannot write.

Device memory is made with the virtual-memory API and exported as a file descriptor, which travels
over Unix sockets as a host copy's does. Whoever imports it maps it with read access alone: a store
into it is an illegal access, which ends the CUDA context of the process that tried, and no other.
The memory lives as long as a descriptor or a mapping of it does, so its maker may end.

What this does not protect from: the descriptor itself grants read and write. Native code in an
instance that keeps its descriptor could map it once more, writable; instances therefore close it
as soon as it is mapped. The kernel seals of a host copy have no counterpart on a device.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from systems.errors import DeploymentError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Range:
    """What torch takes a tensor from, without a copy (the CUDA array interface, version 3)."""

    address: int
    size: int

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": (self.size,),
            "typestr": "|u1",
            "data": (self.address, False),
            "strides": None,
            "version": 3,
        }


class DeviceMapping:
    """A range of device memory in this process's address space."""

    def __init__(self, handle: Any, size: int, device: int, *, writable: bool) -> None:
        cuda = _driver()
        self._size = size
        self._handle = handle
        self._address = _call(cuda.cuMemAddressReserve(size, 0, 0, 0))
        _call(cuda.cuMemMap(self._address, size, 0, handle, 0))
        access = cuda.CUmemAccessDesc()
        access.location.type = cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        access.location.id = device
        flags = cuda.CUmemAccess_flags
        access.flags = (
            flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
            if writable
            else flags.CU_MEM_ACCESS_FLAGS_PROT_READ
        )
        _call(cuda.cuMemSetAccess(self._address, size, [access], 1))

    def tensor(self) -> Tensor:
        """All of it as bytes, without a copy; not to be used after :meth:`close`."""
        import torch

        return torch.as_tensor(_Range(int(self._address), self._size), device="cuda")

    def close(self) -> None:
        """Unmap. The memory itself goes with the last descriptor and mapping of it."""
        cuda = _driver()
        _call(cuda.cuMemUnmap(self._address, self._size))
        _call(cuda.cuMemAddressFree(self._address, self._size))
        _call(cuda.cuMemRelease(self._handle))


def create(size: int, device: int = 0) -> tuple[DeviceMapping, int]:
    """Device memory of at least ``size`` bytes, mapped writable here, and a descriptor of it.
    ``DeploymentError`` where the driver refuses, such as for want of memory."""
    cuda = _started()
    properties = _properties(device)
    handle = _call(cuda.cuMemCreate(_rounded(size, properties), properties, 0))
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    fd = int(_call(cuda.cuMemExportToShareableHandle(handle, kind, 0)))
    mapping = DeviceMapping(handle, _rounded(size, properties), device, writable=True)
    return mapping, fd


def map_shared(fd: int, size: int, device: int = 0) -> DeviceMapping:
    """The copy behind a descriptor, read-only; closes the descriptor, which grants more."""
    cuda = _started()
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    handle = _call(cuda.cuMemImportFromShareableHandle(fd, kind))
    os.close(fd)
    return DeviceMapping(handle, _rounded(size, _properties(device)), device, writable=False)


def checksum(flat: Tensor) -> int:
    """Of a whole copy, computed on its device: the sum of its 64-bit words, modulo 2⁶⁴. One
    changed word changes it."""
    import torch

    whole = flat.numel() // 8 * 8
    total = int(flat[:whole].view(torch.int64).sum()) + int(flat[whole:].to(torch.int64).sum())
    return total % 2**64


def _properties(device: int) -> Any:
    cuda = _driver()
    found = cuda.CUmemAllocationProp()
    found.type = cuda.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    found.location.type = cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    found.location.id = device
    found.requestedHandleTypes = (
        cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    )
    return found


def _rounded(size: int, properties: Any) -> int:
    cuda = _driver()
    flag = cuda.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
    step = int(_call(cuda.cuMemGetAllocationGranularity(properties, flag)))
    return -(-size // step) * step


def _started() -> Any:
    """The driver, with torch's context current in this thread."""
    import torch

    torch.cuda.init()  # type: ignore[no-untyped-call]
    torch.cuda.current_stream().synchronize()
    return _driver()


def _driver() -> Any:
    from cuda.bindings import driver

    return driver


def _call(result: tuple[Any, ...]) -> Any:
    """What a driver call returns beside its status. ``DeploymentError`` names a failure."""
    status, *values = result
    if status != _driver().CUresult.CUDA_SUCCESS:
        raise DeploymentError(f"the CUDA driver refused: {status.name}")
    return values[0] if values else None
