"""ServerlessLLM's checkpoint store as ``cuda_loader`` measures it: their code, in a process of its
own as theirs is, with their defaults for threads and chunks, asked over a pipe instead of gRPC.

Its format is raw bytes beside an index, so a backbone's flat layout is a checkpoint of theirs.
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
"""Between the two requests of a first load, since the second relies on what the first allocates
in a thread; theirs has a round trip of gRPC there."""
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
    """``load`` copies what lies in ``folder`` to the memory behind a cudaIpc handle."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def load(self, handle: bytes, *, from_disk: bool) -> float:
        """Seconds that it took; ``RuntimeError`` where theirs says that it failed."""
        self._pipe.send((handle, from_disk))
        status, seconds = self._pipe.recv()
        if status:
            raise RuntimeError(f"the store failed with status {status}")
        return float(seconds)


@contextmanager
def running(folder: Path, nbytes: int, card: str) -> Iterator[SllmStore]:
    """``folder`` holds ``backbone/tensor.data_0``; ``card`` is the device's UUID."""
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
