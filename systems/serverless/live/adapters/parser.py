"""Process that parses one tenant's adapter, packs it into a memory file, and exits.

Each adapter gets a process of its own, so a flaw that one tenant's file exploits reaches no other
tenant's adapter. Nothing else of the platform parses the files of a shared group's adapters.
"""

from __future__ import annotations

from pathlib import Path

from systems.errors import SystemsError
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Failed
from systems.runtime.sandbox import confine

from ..weights import store
from .messages import ParseAdapter, Parsed

_CONFINED_AS = "cpu"
"""On a node with GPUs too: it needs no driver, and the measures for the CPU are the strictest."""


def shut_in(device: str) -> None:  # noqa: ARG001
    """Apply all measures, whatever the kind of the node's devices."""
    confine.confine(_CONFINED_AS)


def main(channel: Channel) -> int:
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, fds = received
    assert isinstance(message, ParseAdapter)
    process.import_libraries(_CONFINED_AS)
    confine.settle_in(_CONFINED_AS, [Path(message.folder)], message.memory_bytes)
    try:
        _parse(message, fds[0])
    except (SystemsError, OSError, RuntimeError, MemoryError) as error:
        channel.send(Failed(str(error)))
        return 1
    channel.send(Parsed())
    return 0


def _parse(message: ParseAdapter, fd: int) -> None:
    """Fill the memory file, and unmap it: it cannot be sealed otherwise."""
    import torch

    from systems.engine.adapter import read_adapter
    from systems.engine.config import ModelConfig
    from systems.engine.dtypes import torch_dtype
    from systems.engine.packed import SlotShape, pack

    config = ModelConfig.model_validate_json(message.config)
    dtype = torch_dtype(message.dtype)
    shape = SlotShape.of(config, message.shape.rank, message.shape.targets, dtype)
    stored = read_adapter(Path(message.folder), config, message.stamps)
    with store.map_writable(fd) as mapping:
        pack(stored, shape, torch.frombuffer(mapping, dtype=torch.uint8))
