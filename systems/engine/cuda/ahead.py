"""What every process on a card would otherwise import and compute before its first launch, and
that needs no card: done once, in the template, and found in place by what is forked of it."""

from __future__ import annotations

import contextlib
import importlib

_FIRST_USES = (
    "cuda.bindings.driver",
    "systems.engine.cuda.engine",
    "systems.engine.cuda.triton_ops",
    "triton.experimental.gluon",  # by the first specialisation of a kernel
)


def load() -> None:
    """Import them, where they are installed, and let Triton hash its own sources (0.4 s), which
    it remembers."""
    for name in _FIRST_USES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        from triton.runtime.cache import triton_key

        triton_key()
