"""Pre-import for GPU processes: imports and computations before the first kernel launch that start
no CUDA context. The template does them once, and forked processes inherit the result."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_DRIVER = "/dev/nvidiactl"
_FIRST_USES = (
    "cuda.bindings.driver",
    "systems.engine.cuda.engine",
    "systems.engine.cuda.triton_ops",
    "triton.experimental.gluon",  # imported by the first specialization of a kernel
)

_ANSWERS = (
    ("triton.runtime.cache", "triton_key"),
    ("triton.runtime.build", "platform_key"),
    ("triton.backends.nvidia.driver", "library_dirs"),
)
"""Triton hashes its own sources (0.4 s), and starts programs that tell the kind of this machine and
the folder of the driver. The answers are part of the names of cached kernels; Triton keeps them."""


@cache
def load() -> None:
    """Import the modules that are installed, and let Triton do what it caches and what a sandbox
    refuses later, once for this process and its forks. Without a driver, which Triton would look
    for, do nothing."""
    if not Path(_DRIVER).exists():
        return
    for name in _FIRST_USES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for module, function in _ANSWERS:
        with contextlib.suppress(ImportError, AttributeError):
            getattr(importlib.import_module(module), function)()
    with contextlib.suppress(ImportError):
        _ask_for_the_assembler()


def _ask_for_the_assembler() -> None:
    """Let Triton start its assembler, whose version is part of these names too."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler.compiler import make_backend

    for capability in _capabilities():
        make_backend(GPUTarget("cuda", capability, 32)).hash()


def _capabilities() -> Iterable[int]:
    """Return the compute capabilities of the GPUs of this machine, as Triton writes them. A fork
    asks NVML, so that this process, which may be the template, keeps its single thread."""
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
