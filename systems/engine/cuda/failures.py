"""The errors of torch that mean that a GPU failed a process, rather than its code."""

from __future__ import annotations

import sys


def device_failures() -> tuple[type[Exception], ...]:
    """Return their types: no memory left, and any error that the driver reports. None while torch
    is not imported."""
    torch = sys.modules.get("torch")
    return (torch.OutOfMemoryError, torch.AcceleratorError) if torch else ()
