"""Turns a request snapshot into a message: numbers in JSON, keys and values in a memory file."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping

import torch

from systems.engine.dtypes import torch_dtype
from systems.engine.migration import RequestSnapshot
from systems.engine.requests import GenerationRequest

from .messages import SnapshotDtype, SnapshotMessage

_DTYPES: Mapping[torch.dtype, SnapshotDtype] = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


def pack(parted: RequestSnapshot) -> tuple[SnapshotMessage, int]:
    """Return the message for the request's state, and the descriptor to send with it."""
    kv = parted.kv.contiguous()
    fd = os.memfd_create("kv", os.MFD_CLOEXEC)
    os.ftruncate(fd, kv.nbytes)
    with mmap.mmap(fd, kv.nbytes) as memory:
        view = torch.frombuffer(memory, dtype=torch.uint8)
        view.copy_(kv.view(torch.uint8).flatten())
        del view  # the mapping cannot be closed while a tensor references it
    draws = None if parted.draws is None else bytes(parted.draws.tolist()).hex()
    state = SnapshotMessage(
        token=parted.token,
        produced=parted.produced,
        draws=draws,
        shape=tuple(kv.shape),
        dtype=_DTYPES[kv.dtype],
    )
    return state, fd


def unpack(request: GenerationRequest, state: SnapshotMessage, fd: int) -> RequestSnapshot:
    """Rebuild the snapshot of ``request``. Closes ``fd``."""
    with mmap.mmap(fd, 0) as memory:
        raw = torch.frombuffer(memory, dtype=torch.uint8).clone()
    os.close(fd)
    draws = state.draws
    return RequestSnapshot(
        request,
        state.token,
        state.produced,
        None if draws is None else torch.tensor(list(bytes.fromhex(draws)), dtype=torch.uint8),
        raw.view(torch_dtype(state.dtype)).view(state.shape),
    )
