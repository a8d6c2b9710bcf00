"""A range of device addresses of which parts are backed by memory on demand.

Graphs record addresses, not memory: the driver's virtual-memory functions can unmap the memory
behind an address and map new memory, in tenths of a millisecond.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from systems.errors import DeploymentError

if TYPE_CHECKING:
    from torch import Tensor


PATIENCE_S = 1.0  # a pass and a step of another process take a tenth of this
_LOOK_S = 0.002


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Range:
    """Memory that torch wraps without a copy (CUDA array interface, version 3)."""

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


class BackedSlots:
    """``slots`` of ``size`` bytes each, contiguous; the first ``held`` have memory, at first one.
    Raises ``DeploymentError`` if the driver refuses, for example when out of memory."""

    def __init__(self, slots: int, size: int, device: int = 0) -> None:
        self._size = size
        self._properties = properties(device)
        self._address = int(call(driver().cuMemAddressReserve(slots * size, 0, 0, 0)))
        self._access = access(device, writable=True)
        self._handles: list[Any] = []
        self._bytes = slots * size
        end = weakref.finalize(self, _free, self._address, size, self._bytes, self._handles)
        end.atexit = False  # at exit the driver may already be unloaded, and frees everything
        self.hold(1)

    @property
    def held(self) -> int:
        return len(self._handles)

    def tensor(self) -> Tensor:
        """All slots as bytes; access only those that have memory."""
        import torch

        return torch.as_tensor(Range(self._address, self._bytes), device="cuda")

    def hold(self, slots: int) -> None:
        """Back at least the first ``slots`` with memory."""
        cuda = driver()
        while self.held < slots:
            at = self._address + self.held * self._size
            handle = call(self._create())
            try:
                call(cuda.cuMemMap(at, self._size, 0, handle, 0))
                call(cuda.cuMemSetAccess(at, self._size, [self._access], 1))
            except DeploymentError:
                cuda.cuMemUnmap(at, self._size)
                cuda.cuMemRelease(handle)
                raise
            self._handles.append(handle)

    def give_back(self, slots: int) -> None:
        """Unmap all but the first ``slots``. Nothing in progress may use the others: even what was
        queued to set them to zero ends the process."""
        _shrink(self._address, self._size, self._handles, slots)

    def _create(self) -> tuple[Any, ...]:
        """Create memory for a slot. Where there is none, wait for up to ``PATIENCE_S``: what
        requests of another process held is given back at its next pass or step."""
        cuda, until_s = driver(), time.monotonic() + PATIENCE_S
        while True:
            created: tuple[Any, ...] = cuda.cuMemCreate(self._size, self._properties, 0)
            full = created[0] == cuda.CUresult.CUDA_ERROR_OUT_OF_MEMORY
            if not full or time.monotonic() > until_s:
                return created
            time.sleep(_LOOK_S)


def _shrink(address: int, size: int, handles: list[Any], slots: int) -> None:
    cuda = driver()
    while len(handles) > slots:
        handle = handles.pop()
        call(cuda.cuMemUnmap(address + len(handles) * size, size))
        call(cuda.cuMemRelease(handle))


def _free(address: int, size: int, whole: int, handles: list[Any]) -> None:
    """Free memory and addresses when the last reference is dropped; work on them may be queued."""
    driver().cuCtxSynchronize()
    _shrink(address, size, handles, 0)
    call(driver().cuMemAddressFree(address, whole))


def properties(device: int) -> Any:
    """Allocation properties of memory on ``device``."""
    cuda = driver()
    found = cuda.CUmemAllocationProp()
    found.type = cuda.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    found.location.type = cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    found.location.id = device
    return found


def access(device: int, *, writable: bool) -> Any:
    cuda = driver()
    found = cuda.CUmemAccessDesc()
    found.location.type = cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    found.location.id = device
    flags = cuda.CUmemAccess_flags
    found.flags = (
        flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
        if writable
        else flags.CU_MEM_ACCESS_FLAGS_PROT_READ
    )
    return found


def driver() -> Any:
    from cuda.bindings import driver as found

    return found


def call(result: tuple[Any, ...]) -> Any:
    """Return the values of a driver call without its status. ``DeploymentError`` if it failed."""
    status, *values = result
    if status != driver().CUresult.CUDA_SUCCESS:
        raise DeploymentError(f"the CUDA driver refused: {status.name}")
    return values[0] if values else None
