"""Programmatic dependent launch: a kernel's programs start while the kernel before it still runs,
and wait for its end (CUDA Programming Guide, "Programmatic Dependent Launch and Synchronization").
A decode step is hundreds of short kernels, so their starts count.

Every kernel that is launched with :func:`options` calls :func:`wait` first of all in all its
programs, also where it has nothing to do: a kernel that ends counts as the end of all before it. To
read weights before waiting cost more than it saved.
"""

# Triton's kernels are typed by its compiler, not by annotations.
# ruff: noqa: N803

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

FIRST = (9, 0)
"""The compute capability that has it first: Hopper's."""


@triton.jit  # type: ignore[untyped-decorator]
def wait(EARLY: tl.constexpr):  # type: ignore[no-untyped-def]
    """Wait for the kernel before, whose results are read and whose inputs are overwritten only
    after this, and let the next kernel start."""
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()


def options() -> dict[str, Any]:
    """Return what a launch of a kernel with the constant EARLY takes besides its arguments."""
    early = _supported()
    return {"EARLY": early, "launch_pdl": early}


@cache
def _supported() -> bool:
    """A process has one GPU, or GPUs of one kind."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= FIRST
