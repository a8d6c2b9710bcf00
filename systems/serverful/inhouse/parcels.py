"""A parted request as a message: its numbers in JSON, its keys and values in a memory file."""

from __future__ import annotations

import mmap
import os
from typing import Any

import torch

from systems.engine.dtypes import torch_dtype
from systems.engine.parting import Parted
from systems.engine.requests import GenerationRequest

State = dict[str, Any]


def pack(parted: Parted) -> tuple[State, int]:
    """What to send beside the request itself, and the descriptor to go with it."""
    kv = parted.kv.contiguous()
    fd = os.memfd_create("kv", os.MFD_CLOEXEC)
    os.ftruncate(fd, kv.nbytes)
    with mmap.mmap(fd, kv.nbytes) as memory:
        view = torch.frombuffer(memory, dtype=torch.uint8)
        view.copy_(kv.view(torch.uint8).flatten())
        del view  # the mapping cannot be closed while a tensor looks into it
    draws = None if parted.draws is None else bytes(parted.draws.tolist()).hex()
    return {
        "token": parted.token,
        "produced": parted.produced,
        "draws": draws,
        "shape": list(kv.shape),
        "dtype": str(kv.dtype).removeprefix("torch."),
    }, fd


def unpack(request: GenerationRequest, state: State, fd: int) -> Parted:
    """Closes ``fd``."""
    with mmap.mmap(fd, 0) as memory:
        raw = torch.frombuffer(memory, dtype=torch.uint8).clone()
    os.close(fd)
    draws = state["draws"]
    return Parted(
        request,
        state["token"],
        state["produced"],
        None if draws is None else torch.tensor(list(bytes.fromhex(draws)), dtype=torch.uint8),
        raw.view(torch_dtype(state["dtype"])).view(state["shape"]),
    )
