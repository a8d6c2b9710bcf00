"""Shared backbone memory on a CUDA device: instances map it and cannot write to it.

Device memory is allocated with the virtual-memory API and exported as a file descriptor, which is
sent over Unix sockets like that of a host copy. Importers map it read-only: a write is an illegal
access, which ends the CUDA context of the writing process and no other. The memory exists as long
as a descriptor or mapping of it does, so its creator may exit.

Limitation: the descriptor itself grants read and write access. Native code in an instance that
keeps the descriptor could map it again as writable; instances therefore close it immediately after
mapping. Device memory has no counterpart to the kernel seals of a host copy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_memory
from systems.engine.cuda.virtual import access, call, driver, properties

if TYPE_CHECKING:
    from torch import Tensor


class DeviceMapping:
    """A range of device memory in this process's address space."""

    def __init__(self, handle: Any, size: int, device: int, *, writable: bool) -> None:
        cuda = driver()
        self._size = size
        self._handle = handle
        self._address = call(cuda.cuMemAddressReserve(size, 0, 0, 0))
        call(cuda.cuMemMap(self._address, size, 0, handle, 0))
        rights = access(device, writable=writable)
        call(cuda.cuMemSetAccess(self._address, size, [rights], 1))

    @property
    def address(self) -> int:
        return int(self._address)

    def tensor(self) -> Tensor:
        """Return all bytes without a copy; do not use the tensor after :meth:`close`."""
        return device_memory.tensor(self._address, self._size)

    def given_up(self) -> Tensor:
        """Return the tensor and hand over ownership: unmapped when no tensor or view is left."""
        return device_memory.tensor(self._address, self._size, self.close)

    def close(self) -> None:
        """Unmap. The memory is freed with its last descriptor and mapping."""
        cuda = driver()
        call(cuda.cuMemUnmap(self._address, self._size))
        call(cuda.cuMemAddressFree(self._address, self._size))
        call(cuda.cuMemRelease(self._handle))


def create(size: int, device: int = 0) -> tuple[DeviceMapping, int]:
    """Allocate at least ``size`` bytes of device memory. Return its writable mapping and a
    descriptor. Raise ``DeploymentError`` if the driver refuses, for example when out of memory."""
    cuda = device_memory.started()
    wanted = _exportable(device)
    handle = call(cuda.cuMemCreate(_rounded(size, wanted), wanted, 0))
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    fd = int(call(cuda.cuMemExportToShareableHandle(handle, kind, 0)))
    mapping = DeviceMapping(handle, _rounded(size, wanted), device, writable=True)
    return mapping, fd


def own(size: int, device: int = 0) -> DeviceMapping:
    """Allocate device memory for this process alone. Bypasses torch's allocator, which would keep
    the whole allocation while a tensor occupies the rest left by rounding."""
    cuda = device_memory.started()
    wanted = properties(device)
    handle = call(cuda.cuMemCreate(_rounded(size, wanted), wanted, 0))
    return DeviceMapping(handle, _rounded(size, wanted), device, writable=True)


def map_shared(fd: int, size: int, device: int = 0) -> DeviceMapping:
    """Map a shared copy read-only, and close its descriptor, which grants more, in any case."""
    cuda = device_memory.started()
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    try:
        handle = call(cuda.cuMemImportFromShareableHandle(fd, kind))
    finally:
        os.close(fd)
    return DeviceMapping(handle, _rounded(size, _exportable(device)), device, writable=False)


def _exportable(device: int) -> Any:
    found = properties(device)
    kinds = driver().CUmemAllocationHandleType
    found.requestedHandleTypes = kinds.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    return found


def _rounded(size: int, wanted: Any) -> int:
    cuda = driver()
    flag = cuda.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
    step = int(call(cuda.cuMemGetAllocationGranularity(wanted, flag)))
    return -(-size // step) * step
