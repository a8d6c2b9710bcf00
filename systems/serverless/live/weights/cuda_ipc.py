"""Sharing by cudaIpc, where the driver cannot export device memory as descriptors.

The handle that travels maps the memory for reading and writing, in any process that has it: a
store by an instance is neither refused nor noticed (but by an audit). The memory goes with its
maker, which therefore lives for as long as the copy is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_memory as cuda_driver
from systems.engine.cuda.virtual import call, driver

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2 << 20
"""Memory that is not made of whole ones of these may lie in a block with other memory, and a handle
is of the block."""
EXPOSURE = "backbone shared by cudaIpc: every instance can write it"


class IpcMapping:
    """Another process's device memory in this one's address space."""

    def __init__(self, address: Any, size: int) -> None:
        self._address = address
        self._size = size

    def given_up(self) -> Tensor:
        """All of it as bytes, without a copy; closed once neither the tensor nor a view of it is
        left."""
        return cuda_driver.tensor(self._address, self._size, self.close)

    def close(self) -> None:
        call(driver().cuIpcCloseMemHandle(self._address))


def create(size: int) -> tuple[Tensor, str]:
    """Device memory of ``size`` bytes, there until this process ends, and its handle in
    hexadecimal. ``DeploymentError`` where the driver refuses, such as for want of memory."""
    cuda = cuda_driver.started()
    address = call(cuda.cuMemAlloc(-(-size // BLOCK) * BLOCK))
    handle = call(cuda.cuIpcGetMemHandle(address))
    return cuda_driver.tensor(address, size), bytes(handle.reserved).hex()


def map_shared(handle: str, size: int) -> IpcMapping:
    """The copy behind a handle, writable. Not in the process that made it."""
    cuda = cuda_driver.started()
    opened = cuda.CUipcMemHandle()
    opened.reserved = bytes.fromhex(handle)
    lazily = cuda.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
    return IpcMapping(call(cuda.cuIpcOpenMemHandle(opened, int(lazily))), size)
