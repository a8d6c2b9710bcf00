"""This process's context on the card, as small as it can be.

The driver sets local memory aside for every thread that the card can hold at once: 66 MiB on an
H100 for each 256 bytes a thread (the default is 1,024). Kernels that spill more than that have it
enlarged when they are launched, so little is set aside to begin with. The math library's scratch
memory is bounded in the same spirit, by an environment variable that it reads once.
"""

from __future__ import annotations

from .virtual import call, driver

STACK_BYTES = 0
"""Of local memory a thread, until a kernel asks for more."""
ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:2:16:8"}
"""8 MiB a handle and stream, where Hopper's default is 32."""


def start(device: int = 0) -> None:
    """Make the context that torch will use. ``DeploymentError`` where the driver refuses."""
    cuda = driver()
    call(cuda.cuInit(0))
    call(cuda.cuCtxSetCurrent(call(cuda.cuDevicePrimaryCtxRetain(device))))
    call(cuda.cuCtxSetLimit(cuda.CUlimit.CU_LIMIT_STACK_SIZE, STACK_BYTES))
