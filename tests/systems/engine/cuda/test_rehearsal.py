"""The rehearsal runs one layer of zeros with every shape that the whole model's engine prepares."""

from __future__ import annotations

import pytest

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda import rehearsal
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.dtypes import torch_dtype
from systems.engine.packed import SlotShape
from systems.engine.weights import BackboneWeights

LIMITS = {"max_batch_size": 4, "max_context_tokens": 300}


def test_all_shapes_run_with_and_without_an_adapter(
    backbone: tuple[BackboneLayout, BackboneWeights], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, weights = backbone
    ran: list[CudaEngine] = []
    prepare = CudaEngine.prepare

    def counted(engine: CudaEngine) -> bool:
        ran.append(engine)
        return prepare(engine)

    monkeypatch.setattr(CudaEngine, "prepare", counted)
    slot = (8, ("q_proj", "v_proj"))
    shapes = rehearsal.rehearse(layout.config, layout.dtype, [None, slot], "cpu", **LIMITS)
    whole = AdapterSlot(SlotShape.of(layout.config, *slot, torch_dtype(layout.dtype)), "cpu")
    wanted = [
        CudaEngine(layout.config, weights, each, **LIMITS).unprepared for each in (None, whole)
    ]
    assert shapes == len(ran) == sum(wanted)
    assert all(engine.unprepared == 0 for engine in ran)
