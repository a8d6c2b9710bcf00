"""On the card: one answer is the same bit for bit whatever its neighbours are, with CUDA graphs and
without, and a slot of keys and values is cleared before another function has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from systems.engine.adapter import read_adapter
from systems.engine.checkpoint import fill, plan_layout
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters, ensure_backbone
from tests.systems.engine.driving import prompts
from tests.systems.engine.neighbours import (
    Neighbour,
    beside,
    free_positions_hold_zeros,
    overflowing,
    same_bits,
    what_a_slot_held_reaches_nobody,
)

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LIMITS = {"max_batch_size": 8, "max_context_tokens": 900, "piece_tokens": 128}


@pytest.fixture(scope="module", params=["tiny", "tiny-mistral"])
def preset(request: pytest.FixtureRequest) -> Path:
    return ensure_backbone(request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["eager", "graphs"])
def engine(request: pytest.FixtureRequest, preset: Path) -> CudaCrossEngine:
    layout = plan_layout(preset, "float16")
    buffer = bytearray(layout.nbytes)
    fill(layout, preset, memoryview(buffer))
    weights = BackboneWeights.from_flat(layout, torch.frombuffer(buffer, dtype=torch.uint8).cuda())
    paths = ensure_adapters(preset, ("f0", "f1"))
    stored = {name: read_adapter(path, layout.config) for name, path in paths.items()}
    rank = max(adapter.rank for adapter in stored.values())
    shape = SlotShape.of(layout.config, rank, TARGETS, weights.dtype)
    packed = {name: pack(adapter, shape) for name, adapter in stored.items()}
    packed["huge"] = overflowing(packed["f1"], torch.float16)
    table = AdapterTable(shape, len(packed), "cuda")
    made = CudaCrossEngine(layout.config, weights, table, graphs=request.param, **LIMITS)
    for name, flat in packed.items():
        made.hold(name, flat)
    while made.prepare():
        assert free_positions_hold_zeros(made)
    return made


@pytest.mark.parametrize("own", [90, 700])
def test_neighbours_change_no_bit_of_an_answer(own: int, engine: CudaCrossEngine) -> None:
    """All lengths stay within their padded lengths."""
    mine = Neighbour("f0", prompts((own,))[0])
    calm = [Neighbour("f1", prompt) for prompt in prompts((80, 100, 128), seed=1)]
    wanted = beside(engine, mine, calm)
    for turn, names in enumerate(
        [("huge",) * 3, (None, "f1", "huge"), ("f0", "huge", None), ("f0",) * 3]
    ):
        lengths = (128 - turn, 65 + turn, 127 - turn)
        batch = zip(names, prompts(lengths, seed=2 + turn), strict=True)
        others = [Neighbour(name, prompt, 0.5 * turn) for name, prompt in batch]
        assert same_bits(beside(engine, mine, others), wanted), names


def test_what_a_slot_held_reaches_nobody(engine: CudaCrossEngine) -> None:
    what_a_slot_held_reaches_nobody(engine)
