"""Device memory of the driver's as torch sees it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from systems.engine.cuda.virtual import Range, driver

if TYPE_CHECKING:
    from torch import Tensor


def tensor(address: Any, size: int, release: Callable[[], None] | None = None) -> Tensor:
    """A range of device memory as bytes, without a copy. ``release`` is called once neither the
    tensor nor a view of it is left, and the device is done with what it had to do."""
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
    """The driver, with torch's context current in this thread."""
    import torch

    torch.cuda.init()  # type: ignore[no-untyped-call]
    torch.cuda.current_stream().synchronize()
    return driver()
