"""Runs every shape that an engine prepares, so that Triton compiles and caches its kernels.

A compiled kernel depends on the widths of a layer, the dtype and the adapter's rank, but not on the
number of layers or the weights. So one layer of zeros suffices; it takes about 1 GB of the GPU for
a 7B model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from systems.engine.checkpoint import lay_out
from systems.engine.config import ModelConfig
from systems.engine.dtypes import torch_dtype
from systems.engine.packed import SlotShape
from systems.engine.weights import BackboneWeights

from .engine import CudaEngine
from .slot import AdapterSlot

Slot = tuple[int, tuple[str, ...]] | None
"""Rank and targets of an adapter slot; None: an engine without one."""


def rehearse(
    config: ModelConfig,
    dtype: str,
    slots: Iterable[Slot],
    device: str,
    *,
    max_batch_size: int,
    max_context_tokens: int,
    on_shape: Callable[[], object] = lambda: None,
) -> int:
    """Run all shapes of an engine for each of ``slots``; return the number of shapes. Call
    ``on_shape`` after each, which takes seconds if its kernels are not compiled yet."""
    one_layer = config.model_copy(update={"num_layers": 1})
    layout = lay_out(one_layer, dtype)
    flat = torch.zeros(layout.nbytes, dtype=torch.uint8, device=device)
    weights = BackboneWeights.from_flat(layout, flat)
    shapes = 0
    for wanted in slots:
        slot = None
        if wanted is not None:
            shape = SlotShape.of(one_layer, *wanted, torch_dtype(dtype))
            slot = AdapterSlot(shape, device)
        engine = CudaEngine(
            one_layer,
            weights,
            slot,
            max_batch_size=max_batch_size,
            max_context_tokens=max_context_tokens,
        )
        shapes += engine.unprepared
        while engine.prepare():
            on_shape()
    return shapes
