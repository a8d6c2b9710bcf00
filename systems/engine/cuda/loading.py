"""Copies files and host memory to a device: page-locked memory, large chunks, several streams.

Files pass through a few page-locked buffers: threads read into some while the GPU copies from
others. Host memory that holds a whole copy is registered with the driver in place, so the GPU
copies it directly and once; registration costs time per page, more than the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor

from systems.engine.checkpoint import BackboneLayout, fill, open_sources, pieces
from systems.engine.direct_io import PAGE, STEP, Piece, Source
from systems.engine.private_memory import map_private
from systems.errors import DeploymentError

CHUNK = STEP
READERS = 8
BUFFERS = 2  # per reader: it reads into one while the GPU copies from the other
STREAMS = 2  # the GPU has few copy engines, and two saturate one direction of the bus


def fill_device(
    layout: BackboneLayout, model_dir: Path, flat: Any, *, past_cache: bool = False
) -> None:
    """Read a checkpoint into ``flat``, uint8 on a device: in pieces through page-locked buffers, or
    through host memory if it is stored in another dtype. ``past_cache`` as in ``fill``."""
    found = pieces(layout, model_dir, CHUNK)
    if found is not None:
        stream(found, flat, past_cache=past_cache)
        return
    buffer = map_private(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer), past_cache=past_cache)
    with registered(buffer) as source:
        load(source, flat)


@contextmanager
def registered(buffer: Any) -> Iterator[Tensor]:
    """Yield ``buffer`` (writable, buffer protocol) as a page-locked uint8 tensor."""
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
    """Copy ``source`` (host, uint8; slow unless page-locked) to ``target`` (device, at least as
    long) and wait for completion."""
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


def stream(pieces: Sequence[Piece], target: Tensor, *, past_cache: bool = False) -> None:
    """Copy every piece, of up to ``CHUNK`` bytes, to its place in ``target`` (uint8 on a device).
    ``past_cache``: bypass the page cache, for files that are not read again soon. Raise
    ``CheckpointError`` if a file has become shorter."""
    todo: SimpleQueue[Piece] = SimpleQueue()
    for piece in pieces:
        todo.put(piece)
    with ExitStack() as files, ThreadPoolExecutor(READERS) as readers:
        sources = open_sources({each.path for each in pieces}, files, past_cache)
        lanes = [readers.submit(_drain, todo, sources, target) for _ in range(READERS)]
        for lane in lanes:
            lane.result()


def _drain(todo: SimpleQueue[Piece], sources: Mapping[Path, Source], target: Tensor) -> None:
    """Run one reader with its own buffers and stream."""
    lane: Any = torch.cuda.Stream(target.device)  # type: ignore[no-untyped-call]
    size = CHUNK + 2 * PAGE
    buffers = [torch.empty(size, dtype=torch.uint8, pin_memory=True) for _ in range(BUFFERS)]
    copied: list[Any] = [torch.cuda.Event() for _ in buffers]  # type: ignore[no-untyped-call]
    turn = 0
    while (piece := _next(todo)) is not None:
        copied[turn].synchronize()
        host: Any = buffers[turn].numpy()
        start = sources[piece.path].fetch(piece, memoryview(host))
        with torch.cuda.stream(lane):
            place = target[piece.at : piece.at + piece.nbytes]
            place.copy_(buffers[turn][start : start + piece.nbytes], non_blocking=True)
            copied[turn].record(lane)
        turn = (turn + 1) % BUFFERS
    lane.synchronize()


def _next(todo: SimpleQueue[Piece]) -> Piece | None:
    try:
        return todo.get_nowait()
    except Empty:
        return None
