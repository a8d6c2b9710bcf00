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
from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_memory as cuda_driver
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

    def tensor(self) -> Tensor:
        """All of it as bytes, without a copy; not to be used after :meth:`close`."""
        return cuda_driver.tensor(self._address, self._size)

    def given_up(self) -> Tensor:
        """The same, for good: closed once neither the tensor nor a view of it is left."""
        return cuda_driver.tensor(self._address, self._size, self.close)

    def close(self) -> None:
        """Unmap. The memory itself goes with the last descriptor and mapping of it."""
        cuda = driver()
        call(cuda.cuMemUnmap(self._address, self._size))
        call(cuda.cuMemAddressFree(self._address, self._size))
        call(cuda.cuMemRelease(self._handle))


def create(size: int, device: int = 0) -> tuple[DeviceMapping, int]:
    """Device memory of at least ``size`` bytes, mapped writable here, and a descriptor of it.
    ``DeploymentError`` where the driver refuses, such as for want of memory."""
    cuda = cuda_driver.started()
    wanted = _exportable(device)
    handle = call(cuda.cuMemCreate(_rounded(size, wanted), wanted, 0))
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    fd = int(call(cuda.cuMemExportToShareableHandle(handle, kind, 0)))
    mapping = DeviceMapping(handle, _rounded(size, wanted), device, writable=True)
    return mapping, fd


def own(size: int, device: int = 0) -> DeviceMapping:
    """Device memory for this process alone. Not from torch, which keeps a whole allocation for as
    long as anything lies in what rounding left of it."""
    cuda = cuda_driver.started()
    wanted = properties(device)
    handle = call(cuda.cuMemCreate(_rounded(size, wanted), wanted, 0))
    return DeviceMapping(handle, _rounded(size, wanted), device, writable=True)


def map_shared(fd: int, size: int, device: int = 0) -> DeviceMapping:
    """The copy behind a descriptor, read-only; closes the descriptor, which grants more."""
    cuda = cuda_driver.started()
    kind = cuda.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    handle = call(cuda.cuMemImportFromShareableHandle(fd, kind))
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
