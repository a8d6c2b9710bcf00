"""Pre-import for GPU processes: imports and computations before the first kernel launch that start
no CUDA context. The template does them once, and forked processes inherit the result."""

from __future__ import annotations

import contextlib
import importlib
import os
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
    """Let Triton hash its own sources (0.4 s), and start the programs by which it finds the driver,
    the version of its assembler and the kind of this machine: they are part of the names of cached
    kernels."""
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.driver import library_dirs
    from triton.compiler.compiler import make_backend
    from triton.runtime.build import platform_key
    from triton.runtime.cache import triton_key

    triton_key()
    platform_key()
    library_dirs()
    for capability in _capabilities():
        make_backend(GPUTarget("cuda", capability, 32)).hash()


def _capabilities() -> Iterable[int]:
    """Return the compute capabilities of the GPUs of this machine, as Triton writes them. A fork
    asks NVML, which starts a thread."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(Exception):
            os.write(writer, bytes(_ask_nvml()))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        found = set(pipe.read())
    os.waitpid(pid, 0)
    return found


def _ask_nvml() -> Iterable[int]:
    import pynvml

    pynvml.nvmlInit()
    for n in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(n)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        yield 10 * major + minor
