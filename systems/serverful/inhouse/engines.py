"""Makes multi-adapter engines, by the kind of device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from systems.engine.adapter import read_adapter
from systems.engine.checkpoint import BackboneLayout
from systems.engine.dtypes import compute_dtype, torch_dtype
from systems.engine.multi import MultiEngine
from systems.engine.packed import SlotShape, pack
from systems.engine.private_weights import READ

from .messages import Configure


def hold(engine: Any, name: str, path: Path) -> float:
    """Load an adapter into ``engine``. Return how many seconds that took."""
    start = time.perf_counter()
    engine.hold(name, pack(read_adapter(path, engine.shape.config), engine.shape))
    return time.perf_counter() - start


def _limits(message: Configure) -> dict[str, int]:
    return {
        "max_batch_size": message.slots,
        "max_context_tokens": message.max_context_tokens,
    }


def _shape(message: Configure, layout: BackboneLayout, device: str) -> SlotShape:
    dtype = torch_dtype(compute_dtype(layout.dtype, device))
    return SlotShape.of(layout.config, message.table.rank, message.table.targets, dtype)


def _on_cpu(message: Configure) -> MultiEngine:
    torch.set_num_threads(message.threads)
    layout = BackboneLayout.from_json(message.layout)
    weights = READ["cpu"](layout, Path(message.model_dir))
    shape = _shape(message, layout, "cpu")
    return MultiEngine(layout.config, weights, shape, message.table.count, **_limits(message))


def _on_cuda(message: Configure) -> Any:
    """Prepare all shapes before the server is ready, so that no request waits for them."""
    from systems.engine.cuda.multi import CudaMultiEngine
    from systems.engine.cuda.table import AdapterTable

    layout = BackboneLayout.from_json(message.layout)
    weights = READ["cuda"](layout, Path(message.model_dir))
    table = AdapterTable(_shape(message, layout, "cuda"), message.table.count, "cuda")
    # An iteration computes either prompts or steps.
    engine = CudaMultiEngine(layout.config, weights, table, mixed=False, **_limits(message))
    while engine.prepare():
        pass
    return engine


MAKERS: Mapping[str, Callable[[Configure], Any]] = {"cpu": _on_cpu, "cuda": _on_cuda}
