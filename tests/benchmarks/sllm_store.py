"""ServerlessLLM's checkpoint store for ``cuda_loader``: their code in a separate process, with
their defaults for threads and chunks, called over a pipe instead of gRPC.

Its format is raw bytes with an index, so the flat layout of a backbone is a valid checkpoint.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import math
import multiprocessing
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

THREADS, CHUNK = 4, 32 << 20  # sllm_store/cli.py
ALLOCATES_S = 0.01
"""Pause between the two requests of a first load: the second needs memory that the first allocates
in a thread. ServerlessLLM has a gRPC round trip there."""
NAME = "backbone"


def installed() -> bool:
    try:
        return importlib.util.find_spec("sllm_store._checkpoint_store") is not None
    except ModuleNotFoundError:
        return False


def _serve(pipe: Connection, folder: str, nbytes: int, card: str) -> None:
    faulthandler.enable()
    import torch  # noqa: F401  # theirs is linked to its libraries
    from sllm_store import _checkpoint_store as theirs

    pool = math.ceil(nbytes / CHUNK) * CHUNK
    store = theirs.CheckpointStore(folder, pool, THREADS, CHUNK)
    store.register_model_info(NAME)
    whole = theirs.MemCopyChunk()
    whole.size = nbytes
    loaded = False
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        handle, from_disk = asked
        if from_disk and loaded:
            store.unload_model_from_host(NAME)
        start, key = time.perf_counter(), str(uuid.uuid4())
        if from_disk:
            store.load_model_from_disk_async(NAME)
            time.sleep(ALLOCATES_S)
        store.load_model_from_mem_async(NAME, key, {card: [handle]}, {card: [whole]})
        status, loaded = store.wait_model_in_gpu(NAME, key), True
        pipe.send((status, time.perf_counter() - start))


class SllmStore:
    """Client of the store; ``load`` copies the checkpoint to the memory of a cudaIpc handle."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def load(self, handle: bytes, *, from_disk: bool) -> float:
        """Load and return the seconds. Raises RuntimeError if the store reports a failure."""
        self._pipe.send((handle, from_disk))
        status, seconds = self._pipe.recv()
        if status:
            raise RuntimeError(f"the store failed with status {status}")
        return float(seconds)


@contextmanager
def running(folder: Path, nbytes: int, card: str) -> Iterator[SllmStore]:
    """Start the store. ``folder`` has ``backbone/tensor.data_0``; ``card``: UUID of the device."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, str(folder), nbytes, card))
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield SllmStore(ours)
        ours.send(None)
    finally:
        process.join(30)
        process.kill()
