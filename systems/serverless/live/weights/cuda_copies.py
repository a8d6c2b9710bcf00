"""A shared copy on a card, made and mapped in the way that its driver allows, or that was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_mapping as cuda_store
from systems.engine.cuda import device_memory as cuda_driver
from systems.engine.cuda.virtual import call

from . import cuda_ipc
from .handle import Export

if TYPE_CHECKING:
    from torch import Tensor


def make(size: int, how: str) -> tuple[Tensor, Export]:
    """Device memory for a copy, writable here, and what others map it by. ``how``: ``auto``,
    which is ``descriptor`` where the driver has that and ``cuda-ipc`` else, or one of the two."""
    if how == "auto":
        how = "descriptor" if has_descriptors() else "cuda-ipc"
    return _MAKE[how](size)


def map_shared(copy: Export, size: int) -> Tensor:
    """A copy as bytes, for reading: by a descriptor the card refuses all else, by a handle it does
    not. Unmapped once neither the tensor nor a view of it is left."""
    if copy.fd is not None:
        return cuda_store.map_shared(copy.fd, size).given_up()[:size]
    return cuda_ipc.map_shared(copy.handle, size).given_up()


def has_descriptors(device: int = 0) -> bool:
    """Whether the driver exports device memory as file descriptors."""
    cuda: Any = cuda_driver.started()
    attribute = cuda.CUdevice_attribute
    asked = attribute.CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED
    return bool(call(cuda.cuDeviceGetAttribute(asked, device)))


def checksum(flat: Tensor) -> int:
    """Of a whole copy, computed on its device; the same as ``store.checksum``."""
    import torch

    whole = flat.numel() // 8 * 8
    total = int(flat[:whole].view(torch.int64).sum()) + int(flat[whole:].to(torch.int64).sum())
    return total % 2**64


def _by_descriptor(size: int) -> tuple[Tensor, Export]:
    mapping, fd = cuda_store.create(size)
    return mapping.tensor()[:size], Export(fd=fd)


def _by_handle(size: int) -> tuple[Tensor, Export]:
    flat, handle = cuda_ipc.create(size)
    return flat, Export(handle=handle)


_MAKE: Mapping[str, Callable[[int], tuple[Tensor, Export]]] = {
    "descriptor": _by_descriptor,
    "cuda-ipc": _by_handle,
}
