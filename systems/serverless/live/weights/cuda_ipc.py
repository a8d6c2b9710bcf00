"""Sharing by cudaIpc, if the driver cannot export device memory as file descriptors.

The handle maps the memory for reading and writing in any process that has it: a write by an
instance is neither prevented nor detected (except by an audit). The memory is freed when its
creator exits, which therefore lives as long as the copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_memory
from systems.engine.cuda.virtual import call, driver

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2 << 20
"""Allocation granularity: memory that is not a multiple of it may share a block with other memory,
and a handle covers the whole block."""
ISOLATION_GAP = "backbone shared by cudaIpc: every instance can write it"


class IpcMapping:
    """Device memory of another process, mapped into this one."""

    def __init__(self, address: Any, size: int) -> None:
        self._address = address
        self._size = size

    def given_up(self) -> Tensor:
        """Return all bytes without a copy, and hand over ownership: unmapped when no tensor or view
        of it is left."""
        return device_memory.tensor(self._address, self._size, self.close)

    def close(self) -> None:
        call(driver().cuIpcCloseMemHandle(self._address))


def create(size: int) -> tuple[Tensor, str]:
    """Allocate ``size`` bytes of device memory for the lifetime of this process; return it and its
    handle in hexadecimal. ``DeploymentError`` if the driver refuses, such as when out of memory."""
    cuda = device_memory.started()
    address = call(cuda.cuMemAlloc(-(-size // BLOCK) * BLOCK))
    handle = call(cuda.cuIpcGetMemHandle(address))
    return device_memory.tensor(address, size), bytes(handle.reserved).hex()


def map_shared(handle: str, size: int) -> IpcMapping:
    """Map the copy of a handle, writable. Not possible in the process that created it."""
    cuda = device_memory.started()
    opened = cuda.CUipcMemHandle()
    opened.reserved = bytes.fromhex(handle)
    lazily = cuda.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
    return IpcMapping(call(cuda.cuIpcOpenMemHandle(opened, int(lazily))), size)
