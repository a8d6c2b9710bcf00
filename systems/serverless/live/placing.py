"""Where an instance computes: how it comes by its weights and its engine there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from . import store
from .wire import Message

if TYPE_CHECKING:
    from systems.engine.adapter import AdapterWeights
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.requests import GenerationRequest, TokenEvent
    from systems.engine.weights import BackboneWeights


class AnyEngine(Protocol):
    """What an instance asks of its engine, wherever that computes."""

    @property
    def running(self) -> tuple[int, ...]: ...

    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]: ...

    def decode(self) -> list[TokenEvent]: ...

    def cancel(self, request_id: int) -> bool: ...


class Place(Protocol):
    """A kind of device."""

    def weights(
        self, layout: BackboneLayout, model_dir: Path, shared: int | None
    ) -> BackboneWeights:
        """Of the copy behind the descriptor ``shared``, or (None) read for this process alone."""
        ...

    def engine(
        self,
        config: Message,
        layout: BackboneLayout,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
    ) -> AnyEngine:
        """Ready: nothing that only a first request needs is left to do."""
        ...

    def give_back(self) -> None:
        """After artifacts were let go of: return what the allocator keeps for later."""
        ...


class OnCpu:
    def weights(
        self, layout: BackboneLayout, model_dir: Path, shared: int | None
    ) -> BackboneWeights:
        from systems.engine.checkpoint import fill
        from systems.engine.weights import BackboneWeights

        if shared is not None:
            buffer: Any = store.map_shared(shared)
        else:
            buffer = store.map_private(layout.nbytes)
            fill(layout, model_dir, memoryview(buffer))
        return BackboneWeights.from_buffer(layout, buffer)

    def engine(
        self,
        config: Message,
        layout: BackboneLayout,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
    ) -> AnyEngine:
        """The first parallel operation starts the math library's threads."""
        import torch

        from systems.engine.engine import Engine

        torch.set_num_threads(config["threads"])
        square = torch.ones(256, 256)
        torch.mm(square, square)
        return Engine(
            layout.config,
            weights,
            adapter,
            max_batch_size=config["max_batch_size"],
            max_context_tokens=config["max_context_tokens"],
        )

    def give_back(self) -> None:
        """Freed mappings are back already."""


class OnCuda:
    """The first card that the process sees."""

    def weights(
        self, layout: BackboneLayout, model_dir: Path, shared: int | None
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

    def engine(
        self,
        config: Message,
        layout: BackboneLayout,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
    ) -> AnyEngine:
        """Kernels are loaded and graphs captured of short prompts and of steps of one; those of
        larger batches are captured when they come."""
        from systems.engine.cuda.engine import CudaEngine

        engine = CudaEngine(
            layout.config,
            weights,
            _slot(layout, weights, adapter),
            max_batch_size=config["max_batch_size"],
            max_context_tokens=config["max_context_tokens"],
        )
        engine.warm_up([1], [config["max_context_tokens"]])
        return engine

    def give_back(self) -> None:
        import torch

        torch.cuda.empty_cache()


def _slot(layout: BackboneLayout, weights: BackboneWeights, adapter: AdapterWeights | None) -> Any:
    """The adapter in a slot of its own size; None for the backbone alone."""
    if adapter is None:
        return None
    from systems.engine.cuda.slot import AdapterSlot, SlotShape, pack

    shape = SlotShape.of(layout.config, adapter.rank, adapter.targets, weights.dtype)
    slot = AdapterSlot(shape, "cuda")
    slot.put(pack(adapter, shape, pin=True))
    return slot


PLACES: Mapping[str, Place] = {"cpu": OnCpu(), "cuda": OnCuda()}
