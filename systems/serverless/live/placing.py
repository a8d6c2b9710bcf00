"""Where an instance computes: how it comes by its weights and its engine there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import store
from .wire import Message

if TYPE_CHECKING:
    from systems.engine.adapter import AdapterWeights
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.weights import BackboneWeights


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of device."""

    weights: Callable[[BackboneLayout, Path, int | None], BackboneWeights]
    """Of the checkpoint in a directory: of the copy behind a descriptor, or (None) read for this
    process alone."""
    engine: Callable[[Message, BackboneLayout, BackboneWeights, AdapterWeights | None], Batching]
    """Ready to serve; :meth:`Batching.prepare` does the rest of what first requests need. The
    message is the instance's configuration."""
    give_back: Callable[[], None]
    """After artifacts were let go of: return what the allocator keeps for later."""


def _weights_on_cpu(layout: BackboneLayout, model_dir: Path, shared: int | None) -> BackboneWeights:
    from systems.engine.checkpoint import fill
    from systems.engine.weights import BackboneWeights

    if shared is not None:
        buffer: Any = store.map_shared(shared)
    else:
        buffer = store.map_private(layout.nbytes)
        fill(layout, model_dir, memoryview(buffer))
    return BackboneWeights.from_buffer(layout, buffer)


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


def _weights_on_cuda(
    layout: BackboneLayout, model_dir: Path, shared: int | None
) -> BackboneWeights:
    import torch

    from systems.engine.weights import BackboneWeights

    from . import cuda_store
    from .loader import fill_device

    if shared is not None:
        flat = cuda_store.map_shared(shared, layout.nbytes).tensor()
    else:
        flat = torch.empty(layout.nbytes, dtype=torch.uint8, device="cuda")
        fill_device(layout, model_dir, flat)
    return BackboneWeights.from_flat(layout, flat)


def _engine_on_cuda(
    config: Message, layout: BackboneLayout, weights: BackboneWeights, adapter: Any
) -> Batching:
    """The libraries' kernels are loaded by a first, short prompt. Other shapes are prepared while
    the instance has nothing else to do."""
    from systems.engine.cuda.engine import CudaEngine

    slot = None if adapter is None else _slot(layout, weights, adapter)
    engine = CudaEngine(layout.config, weights, slot, **config["limits"])
    engine.prepare()
    return engine


def _slot(layout: BackboneLayout, weights: BackboneWeights, adapter: AdapterWeights) -> Any:
    """The adapter in a slot of its own size. Its pages are copied from once: locking them first
    takes longer than the slower copy."""
    from systems.engine.cuda.slot import AdapterSlot, SlotShape, pack

    shape = SlotShape.of(layout.config, adapter.rank, adapter.targets, weights.dtype)
    slot = AdapterSlot(shape, "cuda")
    slot.put(pack(adapter, shape))
    return slot


def _empty_cache() -> None:
    import torch

    torch.cuda.empty_cache()


PLACES: Mapping[str, Place] = {
    "cpu": Place(_weights_on_cpu, _engine_on_cpu, give_back=lambda: None),
    "cuda": Place(_weights_on_cuda, _engine_on_cuda, _empty_cache),
}
