"""From files and from the host's memory to a device: page-locked memory, large chunks, several
streams.

Files go through a few page-locked buffers: threads read into them while the card copies out of
others. Memory that holds a whole copy is registered with the driver where it lies, so that it is
copied from once and by the card itself; registering costs time by the page, more than the copy.
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
from systems.engine.private_memory import map_private
from systems.engine.reading import PAGE, STEP, Piece, Source
from systems.errors import DeploymentError

CHUNK = STEP
READERS = 8
BUFFERS = 2  # a reader's: one is read into while the card copies from the other
STREAMS = 2  # the card has few copy engines, and one direction of the bus saturates early


def fill_device(
    layout: BackboneLayout, model_dir: Path, flat: Any, *, past_cache: bool = False
) -> None:
    """Read a checkpoint into ``flat``, uint8 on a device: piece by piece through page-locked
    buffers, or, where it is stored in another dtype, through the host's memory. ``past_cache`` as
    in ``fill``."""
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


def stream(pieces: Sequence[Piece], target: Tensor, *, past_cache: bool = False) -> None:
    """Put every piece, none longer than ``CHUNK``, in its place in ``target`` (uint8 on a device).
    ``past_cache``: leave the page cache as it is, for what is not read again soon.
    ``CheckpointError`` where a file is shorter than it was."""
    todo: SimpleQueue[Piece] = SimpleQueue()
    for piece in pieces:
        todo.put(piece)
    with ExitStack() as files, ThreadPoolExecutor(READERS) as readers:
        sources = open_sources({each.path for each in pieces}, files, past_cache)
        lanes = [readers.submit(_drain, todo, sources, target) for _ in range(READERS)]
        for lane in lanes:
            lane.result()


def _drain(todo: SimpleQueue[Piece], sources: Mapping[Path, Source], target: Tensor) -> None:
    """One reader, with buffers and a stream of its own."""
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
