"""The ways to run a backbone and its adapters: the engine of an instance of each isolation level,
and dLoRA's, which merges; on cores and in the form that runs on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.multi import CudaMultiEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.cuda.table import AdapterTable
from systems.engine.dtypes import torch_dtype
from systems.engine.engine import Engine
from systems.engine.multi import MultiEngine
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights

from .variants import Model

EACH, MOST = 2, 16
"""Requests of a form, and the most that an engine runs at once."""
PIECE = {"piece_tokens": 64}


def limits(forms: int) -> dict[str, int]:
    """Return the limits of an engine that runs the requests of so many forms. The memory of more
    would be filled with zeros for nothing."""
    return {"max_batch_size": min(EACH * forms, MOST), "max_context_tokens": 256}


@dataclass(frozen=True)
class Loaded:
    """A model as the engines take it. ``device``: of the device engines; ``graphs``: whether they
    have graphs."""

    model: Model
    layout: BackboneLayout
    host: Tensor
    shape: SlotShape
    packed: Mapping[str, Tensor]
    device: str

    @property
    def graphs(self) -> bool:
        return self.device == "cuda"

    def oracle(self, form: str, tokens: tuple[int, ...]) -> Tensor:
        return self.model.oracle(form, self.layout.dtype, tokens)

    @classmethod
    def of(cls, model: Model, dtype: str = "float32", device: str = "cpu") -> Loaded:
        """``dtype``: of the weights, and of what the device engines compute in."""
        layout = plan_layout(model.path, dtype)
        buffer = bytearray(layout.nbytes)
        fill(layout, model.path, memoryview(buffer))
        stored = {name: read_adapter(path, layout.config) for name, path in model.adapters.items()}
        targets = {target for each in stored.values() for target in each.targets}
        most = max(each.rank for each in stored.values())
        shape = SlotShape.of(layout.config, most, targets, torch_dtype(dtype))
        packed = {name: pack(each, shape) for name, each in stored.items()}
        host = torch.frombuffer(buffer, dtype=torch.uint8)
        return cls(model, layout, host, shape, packed, device)

    def weights(self, device: str) -> BackboneWeights:
        """Return a private copy of the backbone."""
        return BackboneWeights.from_flat(self.layout, self.host.clone().to(device))


Serve = Callable[[Loaded, str], Any]
"""Returns an engine that serves requests of a form."""


def _own_on_cores(loaded: Loaded, form: str) -> Engine:
    config, weights = loaded.layout.config, loaded.weights("cpu")
    path = loaded.model.adapters.get(form)
    adapter = load_adapter(path, config, loaded.layout.dtype) if path else None
    return Engine(config, weights, adapter, **limits(1), **PIECE)


def _own_on_device(loaded: Loaded, form: str) -> CudaEngine:
    slot = AdapterSlot(loaded.shape, loaded.device)
    if form in loaded.packed:
        slot.put(loaded.packed[form])
    config, weights = loaded.layout.config, loaded.weights(loaded.device)
    return CudaEngine(config, weights, slot, **limits(1), **PIECE)


def _of_all(loaded: Loaded) -> dict[str, int]:
    return limits(len(loaded.packed) + 1)


def _holding(engine: Any, loaded: Loaded) -> Any:
    for name, flat in loaded.packed.items():
        engine.hold(name, flat)
    return engine


def _shared_on_cores(loaded: Loaded, form: str) -> CrossEngine:
    config, weights = loaded.layout.config, loaded.weights("cpu")
    engine = CrossEngine(
        config, weights, loaded.shape, len(loaded.packed), **_of_all(loaded), **PIECE
    )
    return _holding(engine, loaded)


def _shared_on_device(loaded: Loaded, form: str) -> CudaCrossEngine:
    table = AdapterTable(loaded.shape, len(loaded.packed), loaded.device)
    config, weights = loaded.layout.config, loaded.weights(loaded.device)
    return _holding(CudaCrossEngine(config, weights, table, **_of_all(loaded), **PIECE), loaded)


def _merged_on_cores(loaded: Loaded, form: str) -> MultiEngine:
    config, weights = loaded.layout.config, loaded.weights("cpu")
    engine = MultiEngine(config, weights, loaded.shape, len(loaded.packed), **limits(1))
    _holding(engine, loaded).merge(form if form in loaded.packed else None)
    return engine


def _merged_on_device(loaded: Loaded, form: str) -> CudaMultiEngine:
    table = AdapterTable(loaded.shape, len(loaded.packed), loaded.device)
    config, weights = loaded.layout.config, loaded.weights(loaded.device)
    engine = CudaMultiEngine(config, weights, table, **limits(1))
    _holding(engine, loaded).merge(form if form in loaded.packed else None)
    return engine


@dataclass(frozen=True)
class Way:
    """``serve``: makes an engine for one form, or for all if ``shared``; ``named``: requests name
    their adapter."""

    serve: Serve
    shared: bool = False
    named: bool = True


CORES, CARD = "cores", "device"
"""Which engine: the CPU's, or the one that runs on a device (also without one, in plain torch)."""

WAYS = {
    ("function", CORES): Way(_own_on_cores, named=False),
    ("function", CARD): Way(_own_on_device, named=False),
    ("tenant and backbone", CORES): Way(_shared_on_cores, shared=True),
    ("tenant and backbone", CARD): Way(_shared_on_device, shared=True),
    ("merged by dLoRA", CORES): Way(_merged_on_cores),
    ("merged by dLoRA", CARD): Way(_merged_on_device),
}
LEVELS = tuple(dict.fromkeys(level for level, _ in WAYS))
