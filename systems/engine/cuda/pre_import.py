"""Pre-import for GPU processes: imports and computations before the first kernel launch that need
no GPU. The template does them once, and forked processes inherit the result."""

from __future__ import annotations

import contextlib
import importlib

_FIRST_USES = (
    "cuda.bindings.driver",
    "systems.engine.cuda.engine",
    "systems.engine.cuda.triton_ops",
    "triton.experimental.gluon",  # imported by the first specialization of a kernel
)


def load() -> None:
    """Import the modules that are installed, and let Triton hash its own sources (0.4 s); Triton
    caches the hash."""
    for name in _FIRST_USES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        from triton.runtime.cache import triton_key

        triton_key()
