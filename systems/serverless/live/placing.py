"""Where an instance computes: how it comes by its weights and its engine there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from . import store
from .wire import Message

if TYPE_CHECKING:
    from torch import Tensor

    from systems.engine.adapter import AdapterWeights
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.cuda.slot import SlotShape
    from systems.engine.weights import BackboneWeights


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of device."""

    weights: Callable[[BackboneLayout, Path, int | None], BackboneWeights]
    """Of the checkpoint in a directory: of the copy behind a descriptor, or (None) read for this
    process alone."""
    adapter: Callable[[Path, BackboneLayout], Any]
    """Of a peft directory, read, in the form that ``engine`` takes it in."""
    engine: Callable[[Message, BackboneLayout, BackboneWeights, Any], Batching]
    """Ready to serve; :meth:`Batching.prepare` does the rest of what first requests need. The
    message is the instance's configuration."""
    give_back: Callable[[], None]
    """After artifacts were let go of: return what the allocator keeps for later."""
    start: Callable[[], None] | None = None
    """Begin, in the background, what takes time and needs no artifact."""
    in_container: frozenset[str] = frozenset()
    """Artifacts that, offloaded, stay in the process, since its own memory is not the device's."""


def _weights_on_cpu(layout: BackboneLayout, model_dir: Path, shared: int | None) -> BackboneWeights:
    from systems.engine.checkpoint import fill
    from systems.engine.weights import BackboneWeights

    if shared is not None:
        buffer: Any = store.map_shared(shared)
    else:
        buffer = store.map_private(layout.nbytes)
        fill(layout, model_dir, memoryview(buffer))
    return BackboneWeights.from_buffer(layout, buffer)


def _adapter_on_cpu(folder: Path, layout: BackboneLayout) -> AdapterWeights:
    from systems.engine.adapter import load_adapter

    return load_adapter(folder, layout.config, layout.dtype)


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


def _adapter_on_cuda(folder: Path, layout: BackboneLayout) -> tuple[SlotShape, Tensor]:
    """Packed for a slot of its own size. Its pages are copied from once or twice: locking them
    first takes longer than the slower copy."""
    from systems.engine.adapter import load_adapter
    from systems.engine.cuda.slot import SlotShape, pack
    from systems.engine.dtypes import torch_dtype

    loaded = load_adapter(folder, layout.config, layout.dtype)
    shape = SlotShape.of(layout.config, loaded.rank, loaded.targets, torch_dtype(layout.dtype))
    return shape, pack(loaded, shape)


def _engine_on_cuda(
    config: Message,
    layout: BackboneLayout,
    weights: BackboneWeights,
    adapter: tuple[SlotShape, Tensor] | None,
) -> Batching:
    """The libraries' kernels are loaded by a first, short prompt. Other shapes are prepared while
    the instance has nothing else to do."""
    from systems.engine.cuda.engine import CudaEngine
    from systems.engine.cuda.slot import AdapterSlot

    slot = None
    if adapter is not None:
        slot = AdapterSlot(adapter[0], "cuda")
        slot.put(adapter[1])
    engine = CudaEngine(layout.config, weights, slot, **config["limits"])
    engine.prepare()
    return engine


def start_cuda() -> None:
    """The context and the math library, together some 0.4 s of a new process."""
    Thread(target=_first_product, daemon=True).start()


def _first_product() -> None:
    import torch

    square = torch.ones(64, 64, dtype=torch.float16, device="cuda")
    torch.mm(square, square)


def _empty_cache() -> None:
    import torch

    torch.cuda.empty_cache()


PLACES: Mapping[str, Place] = {
    "cpu": Place(_weights_on_cpu, _adapter_on_cpu, _engine_on_cpu, give_back=lambda: None),
    "cuda": Place(
        _weights_on_cuda,
        _adapter_on_cuda,
        _engine_on_cuda,
        _empty_cache,
        start_cuda,
        frozenset({"adapter"}),
    ),
}
