"""Creates this process's CUDA context with a small memory footprint.

The driver reserves local memory for every thread that the GPU can hold at once: 66 MiB on an H100
per 256 bytes a thread (the default is 1,024). A launch of a kernel that spills more enlarges the
reservation, so little is reserved at first. The scratch memory of the math library is bounded in
the same way, by an environment variable that it reads once.
"""

from __future__ import annotations

from uuid import UUID

from systems.errors import DeploymentError

from .virtual import call, driver

STACK_BYTES = 0
"""Local memory per thread until a kernel needs more."""
ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:2:16:8"}
"""8 MiB per handle and stream; the default on Hopper is 32."""


def start(device: int = 0) -> None:
    """Create the context that torch will use. Raise ``DeploymentError`` if the driver refuses."""
    cuda = driver()
    call(cuda.cuInit(0))
    call(cuda.cuCtxSetCurrent(call(cuda.cuDevicePrimaryCtxRetain(device))))
    call(cuda.cuCtxSetLimit(cuda.CUlimit.CU_LIMIT_STACK_SIZE, STACK_BYTES))


def check_card(uuid: str, device: int = 0) -> None:
    """Raise ``DeploymentError`` if this process's CUDA device is not the GPU ``uuid``, as NVML
    writes it (``GPU-…``); "": any GPU will do. Allocates nothing on the device."""
    cuda = driver()
    call(cuda.cuInit(0))
    found = UUID(bytes=bytes(call(cuda.cuDeviceGetUuid(call(cuda.cuDeviceGet(device)))).bytes))
    if uuid and UUID(uuid.partition("-")[2]) != found:
        raise DeploymentError(f"this process was given GPU {found}, its device is {uuid}")
