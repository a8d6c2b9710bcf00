"""Pre-import for GPU processes: imports and computations before the first kernel launch that start
no CUDA context. The template does them once, and forked processes inherit the result."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable

_FIRST_USES = (
    "cuda.bindings.driver",
    "systems.engine.cuda.engine",
    "systems.engine.cuda.triton_ops",
    "triton.experimental.gluon",  # imported by the first specialization of a kernel
)


def load() -> None:
    """Import the modules that are installed, and let Triton do what it caches and what a sandbox
    refuses later."""
    for name in _FIRST_USES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        _ask_triton()


def _ask_triton() -> None:
    """Let Triton hash its own sources (0.4 s), and start the programs by which it finds the driver
    and the version of its assembler: they are part of the names of cached kernels."""
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.driver import library_dirs
    from triton.compiler.compiler import make_backend
    from triton.runtime.cache import triton_key

    triton_key()
    library_dirs()
    for capability in _capabilities():
        make_backend(GPUTarget("cuda", capability, 32)).hash()


def _capabilities() -> Iterable[int]:
    """Return the compute capabilities of the GPUs of this machine, as Triton writes them."""
    import pynvml

    pynvml.nvmlInit()
    try:
        for n in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(n)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            yield 10 * major + minor
    finally:
        pynvml.nvmlShutdown()
