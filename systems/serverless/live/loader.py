"""The backbone function (paper, "Secure backbone sharing"): reads a checkpoint into the shared
copy, on the host or on a device, and goes. The copy outlives it: the gateway's store holds the
descriptor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.errors import SystemsError

from . import process, store
from .wire import Channel, Message

if TYPE_CHECKING:
    from systems.engine.checkpoint import BackboneLayout


def main(channel: Channel) -> int:
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, fds = received
    process.import_libraries()
    from systems.engine.checkpoint import BackboneLayout

    layout = BackboneLayout.from_json(message["layout"])
    start_ns = time.monotonic_ns()
    try:
        made = _LOAD[message["device"]](layout, message, fds)
    except (SystemsError, OSError, RuntimeError) as error:
        channel.send("failed", reason=str(error))
        return 1
    channel.send("loaded", made, start_ns=start_ns, end_ns=time.monotonic_ns())
    return 0


def _to_host(layout: BackboneLayout, message: Message, fds: list[int]) -> list[int]:
    """Fill the memory file that came along, and seal it."""
    from systems.engine.checkpoint import fill

    with store.map_writable(fds[0]) as mapping, memoryview(mapping) as buffer:
        fill(layout, Path(message["model_dir"]), buffer)
    store.seal(fds[0])
    return []


def _to_device(layout: BackboneLayout, message: Message, fds: list[int]) -> list[int]:  # noqa: ARG001
    """Make device memory and fill it; the descriptor by which others map it, read-only."""
    import torch

    from . import cuda_store

    mapping, fd = cuda_store.create(layout.nbytes)
    fill_device(layout, Path(message["model_dir"]), mapping.tensor())
    torch.cuda.synchronize()
    return [fd]


def fill_device(layout: BackboneLayout, model_dir: Path, flat: Any) -> None:
    """Read a checkpoint into ``flat``, uint8 on a device: piece by piece through page-locked
    buffers, or, where it is stored in another dtype, through the host's memory."""
    from systems.engine.checkpoint import fill, pieces

    from . import device_loader

    found = pieces(layout, model_dir, device_loader.CHUNK)
    if found is not None:
        device_loader.stream(found, flat)
        return
    buffer = store.map_private(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer))
    with device_loader.registered(buffer) as source:
        device_loader.load(source, flat)


_LOAD = {"cpu": _to_host, "cuda": _to_device}
