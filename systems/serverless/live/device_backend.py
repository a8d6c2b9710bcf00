"""Where an instance computes: how it comes by its weights and its engine there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from systems.runtime.channel import Message

from .weights import store
from .weights.handle import Export

if TYPE_CHECKING:
    from systems.engine.adapter import AdapterWeights, StoredAdapter
    from systems.engine.adapter_files import Stamps
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.cuda.engine import CudaEngine
    from systems.engine.cuda.slot import AdapterSlot
    from systems.engine.weights import BackboneWeights


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of device."""

    weights: Callable[[BackboneLayout, Path, Export], BackboneWeights]
    """Of the checkpoint in a directory: of the shared copy, or (an empty export) read for this
    process alone."""
    adapter: Callable[[Path, BackboneLayout, Stamps], Any]
    """Of a peft directory with the stamps that it was deployed with, read, in the form that
    ``engine`` takes it in."""
    engine: Callable[[Message, BackboneLayout, BackboneWeights, Any], Batching]
    """Ready to serve; :meth:`Batching.prepare` does the rest of what first requests need. The
    message is the instance's configuration."""
    adapt: Callable[[Any, Any], bool]
    """Have an engine that is there take this adapter in the place of its own; whether it can."""
    give_back: Callable[[], None]
    """After artifacts were let go of: return what the allocator keeps for later."""
    start: Callable[[], None] | None = None
    """Begin, in the background, what takes time and needs no artifact."""
    in_container: frozenset[str] = frozenset()
    """Artifacts that, offloaded, stay in the process, since its own memory is not the device's."""


def _weights_on_cpu(layout: BackboneLayout, model_dir: Path, shared: Export) -> BackboneWeights:
    from systems.engine import private_weights
    from systems.engine.weights import BackboneWeights

    if shared.fd is None:
        return private_weights.READ["cpu"](layout, model_dir)
    buffer = store.map_shared(shared.fd)
    os.close(shared.fd)  # a copy lives for as long as anything of it is open
    return BackboneWeights.from_buffer(layout, buffer)


def _adapter_on_cpu(folder: Path, layout: BackboneLayout, stamps: Stamps) -> AdapterWeights:
    from systems.engine.adapter import load_adapter

    return load_adapter(folder, layout.config, layout.dtype, stamps)


def _engine_on_cpu(
    config: Message, layout: BackboneLayout, weights: BackboneWeights, adapter: Any
) -> Batching:
    """The first parallel operation starts the math library's threads."""
    import torch

    from systems.engine.engine import Engine

    torch.set_num_threads(config["threads"])
    square = torch.ones(256, 256)
    torch.mm(square, square)
    return Engine(layout.config, weights, adapter, **config["limits"])


def _weights_on_cuda(layout: BackboneLayout, model_dir: Path, shared: Export) -> BackboneWeights:
    from systems.engine import private_weights
    from systems.engine.weights import BackboneWeights

    from .weights import cuda_copies

    if not shared:
        return private_weights.READ["cuda"](layout, model_dir)
    return BackboneWeights.from_flat(layout, cuda_copies.map_shared(shared, layout.nbytes))


def _adapter_on_cuda(folder: Path, layout: BackboneLayout, stamps: Stamps) -> StoredAdapter:
    from systems.engine.adapter import read_adapter

    return read_adapter(folder, layout.config, stamps)


def _slot(layout: BackboneLayout, rank: int, targets: Sequence[str]) -> AdapterSlot:
    from systems.engine.cuda.slot import AdapterSlot, SlotShape
    from systems.engine.dtypes import torch_dtype

    shape = SlotShape.of(layout.config, rank, targets, torch_dtype(layout.dtype))
    return AdapterSlot(shape, "cuda")


def _engine_on_cuda(
    config: Message,
    layout: BackboneLayout,
    weights: BackboneWeights,
    adapter: StoredAdapter | None,
) -> Batching:
    """The libraries' kernels are loaded by a first, short prompt. Other shapes are prepared while
    the instance has nothing else to do."""
    from systems.engine.cuda.engine import CudaEngine

    slot = None
    if adapter is not None:
        slot = _slot(layout, adapter.rank, adapter.targets)
        slot.load(adapter)
    elif wanted := config.get("slot"):
        slot = _slot(layout, **wanted)
        slot.rehearse()
    engine = CudaEngine(layout.config, weights, slot, **config["limits"])
    engine.prepare()
    return engine


def _adapt_on_cuda(engine: CudaEngine, adapter: StoredAdapter | None) -> bool:
    """Graphs keep the slot's address, so an adapter of its shape is a copy."""
    from systems.engine.cuda.slot import AdapterSlot

    slot = engine.slot
    if adapter is None or not isinstance(slot, AdapterSlot):
        return False
    if (slot.shape.rank, slot.shape.targets) != (adapter.rank, adapter.targets):
        return False
    slot.load(adapter)
    return True


def start_cuda() -> None:
    """The context and the math library, together some 0.4 s of a new process."""
    Thread(target=_first_product, daemon=True).start()


def _first_product() -> None:
    import torch

    from systems.engine.cuda import context

    context.start()
    square = torch.ones(64, 64, dtype=torch.float16, device="cuda")
    torch.mm(square, square)
    torch.aminmax(square)  # what an adapter is checked by


def _empty_cache() -> None:
    import torch

    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()


PLACES: Mapping[str, Place] = {
    "cpu": Place(
        _weights_on_cpu,
        _adapter_on_cpu,
        _engine_on_cpu,
        adapt=lambda engine, adapter: False,  # noqa: ARG005
        give_back=lambda: None,
    ),
    "cuda": Place(
        _weights_on_cuda,
        _adapter_on_cuda,
        _engine_on_cuda,
        _adapt_on_cuda,
        _empty_cache,
        start_cuda,
        frozenset({"adapter"}),
    ),
}
