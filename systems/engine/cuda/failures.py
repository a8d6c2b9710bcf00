"""The errors that mean that a GPU failed a process, rather than its code."""

from __future__ import annotations

import sys

from systems.errors import DeploymentError


def device_failures() -> tuple[type[Exception], ...]:
    """Return their types: no memory left, and any error that the driver reports, to torch if that
    is imported."""
    torch = sys.modules.get("torch")
    of_torch = (torch.OutOfMemoryError, torch.AcceleratorError) if torch else ()
    return (DeploymentError, *of_torch)
