"""Copies device memory from another device of this machine, over NVLink where there is one.

The other device's memory comes as a descriptor (:mod:`.device_mapping`) and is mapped read-only for
this process's device, which pulls the bytes. Nothing runs on the other device, and this process has
no context there. Measured on H100s: 13.48 GB in 34 ms, 394 GB/s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import device_mapping, device_memory
from .virtual import call, driver

if TYPE_CHECKING:
    from torch import Tensor


def all_reachable() -> bool:
    """Return whether this process's first device can read the memory of all others that this
    process sees; True if there is no other."""
    cuda = driver()
    call(cuda.cuInit(0))
    own, *others = (call(cuda.cuDeviceGet(n)) for n in range(int(call(cuda.cuDeviceGetCount()))))
    return all(int(call(cuda.cuDeviceCanAccessPeer(own, other))) for other in others)


def copy_from(fd: int, target: Tensor) -> bool:
    """Fill ``target``, bytes on this process's device, with memory of another device or of the same
    one, given as a descriptor, and close that. Return False, with ``target`` unchanged, if the
    devices have no access to each other's memory. Raise ``DeploymentError`` if the driver
    refuses."""
    cuda = device_memory.started()
    if not all_reachable():
        os.close(fd)
        return False
    source = device_mapping.map_shared(fd, target.numel())
    try:
        call(cuda.cuMemcpyDtoD(target.data_ptr(), source.address, target.numel()))
        call(cuda.cuCtxSynchronize())
    finally:
        source.close()
    return True
