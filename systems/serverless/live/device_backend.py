"""Device backends: how an instance obtains its weights and its engine on each kind of device."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from ..core.artifacts import Artifact
from .messages import Configure
from .weights import store
from .weights.handle import SharedWeightsHandle

if TYPE_CHECKING:
    from systems.engine.adapter import AdapterWeights, StoredAdapter
    from systems.engine.adapter_files import Stamps
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.cross import CrossEngine
    from systems.engine.cuda.cross import CudaCrossEngine
    from systems.engine.cuda.engine import CudaEngine
    from systems.engine.cuda.slot import AdapterSlot
    from systems.engine.packed import SlotShape as PackedShape
    from systems.engine.weights import BackboneWeights


@dataclass(frozen=True, slots=True)
class DeviceBackend:
    """The functions of one kind of device."""

    weights: Callable[[BackboneLayout, Path, SharedWeightsHandle], BackboneWeights]
    """Returns the weights of a checkpoint directory: mapped from the shared copy, or, if the handle
    is empty, read into private memory."""
    adapter: Callable[[Path, BackboneLayout, Stamps], Any]
    """Reads a peft directory that must have the stamps of its deployment; returns the adapter in
    the form that ``engine`` accepts."""
    engine: Callable[[Configure, BackboneLayout, BackboneWeights, Any], Batching]
    """Returns an engine that is ready to serve; :meth:`Batching.prepare` does the rest of what
    first requests need."""
    cross_engine: Callable[[Configure, BackboneLayout, BackboneWeights], Any]
    """Returns an engine with places for adapters, which ``hold`` and ``drop`` fill and free."""
    adapt: Callable[[Any, Any], bool]
    """Replaces the adapter of a running engine; returns whether that is possible."""
    give_back: Callable[[], None]
    """Returns cached allocator memory after artifacts were offloaded."""
    start: Callable[[], None] | None = None
    """Starts slow work that needs no artifact, in the background."""
    check_card: Callable[[str], None] = lambda card: None  # noqa: ARG005
    """Raises ``DeploymentError`` if this process is not on the GPU of this UUID."""
    in_container: frozenset[Artifact] = frozenset()
    """Artifacts that stay in the process when offloaded, since they take no device memory."""


def _weights_on_cpu(
    layout: BackboneLayout, model_dir: Path, shared: SharedWeightsHandle
) -> BackboneWeights:
    from systems.engine import private_weights
    from systems.engine.weights import BackboneWeights

    if shared.fd is None:
        return private_weights.READ["cpu"](layout, model_dir)
    buffer = store.map_shared(shared.fd)
    os.close(shared.fd)  # a copy exists as long as any descriptor of it is open
    return BackboneWeights.from_buffer(layout, buffer)


def _adapter_on_cpu(folder: Path, layout: BackboneLayout, stamps: Stamps) -> AdapterWeights:
    from systems.engine.adapter import load_adapter

    return load_adapter(folder, layout.config, layout.dtype, stamps)


def _engine_on_cpu(
    config: Configure, layout: BackboneLayout, weights: BackboneWeights, adapter: Any
) -> Batching:
    from systems.engine.engine import Engine

    _start_threads(config.threads)
    return Engine(layout.config, weights, adapter, **_limits(config))


def _start_threads(threads: int) -> None:
    """Let a first parallel operation start the math library's threads."""
    import torch

    torch.set_num_threads(threads)
    square = torch.ones(256, 256)
    torch.mm(square, square)


def _limits(config: Configure) -> dict[str, Any]:
    return {
        "max_batch_size": config.max_batch_size,
        "max_context_tokens": config.max_context_tokens,
        "piece_tokens": config.piece_tokens,
    }


def _device_limits(config: Configure) -> dict[str, Any]:
    return _limits(config) | {"mixed": config.mixed_passes}


def _shape(config: Configure, layout: BackboneLayout, device: str) -> PackedShape:
    """Return the shape of the places of an instance that has some."""
    from systems.engine.dtypes import compute_dtype, torch_dtype
    from systems.engine.packed import SlotShape as PackedShape

    assert config.slot is not None, "places have a shape"
    dtype = torch_dtype(compute_dtype(layout.dtype, device))
    return PackedShape.of(layout.config, config.slot.rank, config.slot.targets, dtype)


def _cross_engine_on_cpu(
    config: Configure, layout: BackboneLayout, weights: BackboneWeights
) -> CrossEngine:
    from systems.engine.cross import CrossEngine

    _start_threads(config.threads)
    shape = _shape(config, layout, "cpu")
    return CrossEngine(layout.config, weights, shape, config.places, **_limits(config))


def _weights_on_cuda(
    layout: BackboneLayout, model_dir: Path, shared: SharedWeightsHandle
) -> BackboneWeights:
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
    from systems.engine.cuda.slot import AdapterSlot
    from systems.engine.dtypes import torch_dtype
    from systems.engine.packed import SlotShape

    shape = SlotShape.of(layout.config, rank, targets, torch_dtype(layout.dtype))
    return AdapterSlot(shape, "cuda")


def _engine_on_cuda(
    config: Configure,
    layout: BackboneLayout,
    weights: BackboneWeights,
    adapter: StoredAdapter | None,
) -> Batching:
    """Build the engine; a short first prompt loads the libraries' kernels. Other shapes are
    prepared while the instance is idle."""
    from systems.engine.cuda.engine import CudaEngine

    slot = None
    if adapter is not None:
        slot = _slot(layout, adapter.rank, adapter.targets)
        slot.load(adapter)
    elif config.slot is not None:
        slot = _slot(layout, config.slot.rank, config.slot.targets)
        slot.rehearse()
    engine = CudaEngine(layout.config, weights, slot, **_device_limits(config))
    engine.prepare()
    return engine


def _cross_engine_on_cuda(
    config: Configure, layout: BackboneLayout, weights: BackboneWeights
) -> CudaCrossEngine:
    from systems.engine.cuda.cross import CudaCrossEngine
    from systems.engine.cuda.table import AdapterTable

    table = AdapterTable(_shape(config, layout, "cuda"), config.places, "cuda")
    table.rehearse()
    engine = CudaCrossEngine(layout.config, weights, table, **_device_limits(config))
    engine.prepare()
    return engine


def _adapt_on_cuda(engine: CudaEngine, adapter: StoredAdapter | None) -> bool:
    """Graphs record the slot's address, so an adapter of the slot's shape only has to be copied."""
    from systems.engine.cuda.slot import AdapterSlot

    slot = engine.slot
    if adapter is None or not isinstance(slot, AdapterSlot):
        return False
    if (slot.shape.rank, slot.shape.targets) != (adapter.rank, adapter.targets):
        return False
    slot.load(adapter)
    return True


def start_cuda() -> None:
    """Initialize the CUDA context and math library, which takes a new process about 0.4 s."""
    Thread(target=_started, daemon=True).start()


def _started() -> None:
    """Start the device as far as it can be: what needs it fails with a reason if it cannot."""
    from systems.engine.cuda.failures import device_failures

    with suppress(*device_failures()):
        _first_product()


def _first_product() -> None:
    import torch

    from systems.engine.cuda import context

    context.start()
    square = torch.ones(64, 64, dtype=torch.float16, device="cuda")
    torch.mm(square, square)
    torch.aminmax(square)  # the kernel that checks adapter values


def _check_card(card: str) -> None:
    from systems.engine.cuda import context

    context.check_card(card)


def _empty_cache() -> None:
    import torch

    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()


BACKENDS: Mapping[str, DeviceBackend] = {
    "cpu": DeviceBackend(
        _weights_on_cpu,
        _adapter_on_cpu,
        _engine_on_cpu,
        _cross_engine_on_cpu,
        adapt=lambda engine, adapter: False,  # noqa: ARG005
        give_back=lambda: None,
    ),
    "cuda": DeviceBackend(
        _weights_on_cuda,
        _adapter_on_cuda,
        _engine_on_cuda,
        _cross_engine_on_cuda,
        _adapt_on_cuda,
        _empty_cache,
        start_cuda,
        _check_card,
        frozenset({Artifact.ADAPTER}),
    ),
}
