"""From the host tier to a device: page-locked memory, large chunks, several streams.

A shared memory file or a file mapping is registered with the driver where it lies, so that it is
copied from once and by the card itself. Registering costs time by the page; a host tier pays it
once, when it is filled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from systems.errors import DeploymentError

CHUNK = 32 << 20
STREAMS = 2  # the card has few copy engines, and one direction of the bus saturates early


@contextmanager
def registered(buffer: Any) -> Iterator[Tensor]:
    """``buffer`` (writable, buffer protocol) as a page-locked uint8 tensor, while inside."""
    flat = torch.frombuffer(buffer, dtype=torch.uint8)
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    status = int(runtime.cudaHostRegister(flat.data_ptr(), flat.numel(), 0))
    if status:
        raise DeploymentError(f"host memory of {flat.numel()} bytes cannot be registered: {status}")
    try:
        yield flat
    finally:
        runtime.cudaHostUnregister(flat.data_ptr())


def load(source: Tensor, target: Tensor, chunk: int = CHUNK, streams: int = STREAMS) -> None:
    """Copy ``source`` (host, uint8, page-locked or it is slow) to ``target`` (device, as long or
    longer), and wait until it is there."""
    if target.numel() < source.numel():
        raise DeploymentError(
            f"{source.numel()} bytes do not fit in {target.numel()} on the device"
        )
    lanes: list[Any] = [
        torch.cuda.Stream(target.device)  # type: ignore[no-untyped-call]
        for _ in range(streams)
    ]
    torch.cuda.current_stream(target.device).synchronize()
    for number, start in enumerate(range(0, source.numel(), chunk)):
        piece = source[start : start + chunk]
        with torch.cuda.stream(lanes[number % streams]):
            target[start : start + piece.numel()].copy_(piece, non_blocking=True)
    for lane in lanes:
        lane.synchronize()
