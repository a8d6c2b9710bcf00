"""Wraps device memory of the CUDA driver in torch tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from systems.engine.cuda.virtual import Range, driver

if TYPE_CHECKING:
    from torch import Tensor


def tensor(address: Any, size: int, release: Callable[[], None] | None = None) -> Tensor:
    """Return device memory as a byte tensor without a copy. ``release`` is called when no tensor or
    view of it is left and the device has finished its queued work."""
    import torch

    memory = Range(int(address), size)
    if release is not None:
        weakref.finalize(memory, _release, release).atexit = False
    return torch.as_tensor(memory, device="cuda")


def _release(release: Callable[[], None]) -> None:
    import torch

    torch.cuda.synchronize()
    release()


def started() -> Any:
    """Return the driver, with torch's context current in this thread."""
    import torch

    torch.cuda.init()  # type: ignore[no-untyped-call]
    torch.cuda.current_stream().synchronize()
    return driver()
