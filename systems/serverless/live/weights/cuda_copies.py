"""A shared copy on a GPU, created and mapped by the chosen or best supported method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from systems.engine.cuda import device_mapping, device_memory
from systems.engine.cuda.virtual import call

from . import cuda_ipc
from .handle import SharedWeightsHandle

if TYPE_CHECKING:
    from torch import Tensor


def make(size: int, how: str) -> tuple[Tensor, SharedWeightsHandle]:
    """Allocate writable device memory for a copy; return it and the shared-weights handle. ``how``:
    ``descriptor``, ``cuda-ipc``, or ``auto`` (descriptors if the driver supports them)."""
    if how == "auto":
        how = "descriptor" if has_descriptors() else "cuda-ipc"
    return _MAKE[how](size)


def map_shared(copy: SharedWeightsHandle, size: int) -> Tensor:
    """Return a copy as bytes for reading. A descriptor's mapping is enforced to be read-only, a
    cudaIpc handle's is not. Unmapped when no tensor or view of it is left."""
    if copy.fd is not None:
        return device_mapping.map_shared(copy.fd, size).given_up()[:size]
    return cuda_ipc.map_shared(copy.handle, size).given_up()


def has_descriptors(device: int = 0) -> bool:
    """Whether the driver exports device memory as file descriptors."""
    cuda: Any = device_memory.started()
    attribute = cuda.CUdevice_attribute
    asked = attribute.CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED
    return bool(call(cuda.cuDeviceGetAttribute(asked, device)))


def checksum(flat: Tensor) -> int:
    """Compute the checksum of a whole copy on its device; equals ``store.checksum``."""
    import torch

    whole = flat.numel() // 8 * 8
    total = int(flat[:whole].view(torch.int64).sum()) + int(flat[whole:].to(torch.int64).sum())
    return total % 2**64


def _by_descriptor(size: int) -> tuple[Tensor, SharedWeightsHandle]:
    mapping, fd = device_mapping.create(size)
    return mapping.tensor()[:size], SharedWeightsHandle(fd=fd)


def _by_handle(size: int) -> tuple[Tensor, SharedWeightsHandle]:
    flat, handle = cuda_ipc.create(size)
    return flat, SharedWeightsHandle(handle=handle)


_MAKE: Mapping[str, Callable[[int], tuple[Tensor, SharedWeightsHandle]]] = {
    "descriptor": _by_descriptor,
    "cuda-ipc": _by_handle,
}
