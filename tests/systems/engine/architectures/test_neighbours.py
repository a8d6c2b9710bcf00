"""With windows, biases and norms too, one request's answer is the same bit for bit whatever its
neighbours are, and no value of a slot reaches the next request in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.models import ensure_adapters, ensure_backbone
from tests.systems.engine.conftest import load_backbone, pack_all
from tests.systems.engine.driving import prompts
from tests.systems.engine.neighbours import (
    Neighbour,
    beside,
    free_positions_hold_zeros,
    overflowing,
    same_bits,
    what_a_slot_held_reaches_nobody,
)

LIMITS = {"max_batch_size": 8, "max_context_tokens": 256, "piece_tokens": 64}


@pytest.fixture(scope="module", params=["tiny-mistral", "tiny-qwen2", "tiny-qwen3"])
def preset(request: pytest.FixtureRequest) -> Path:
    return ensure_backbone(request.param)


@pytest.fixture(scope="module", params=["cores", "device"])
def engine(request: pytest.FixtureRequest, preset: Path) -> Any:
    layout, weights = load_backbone(preset, "float32")
    shape, packed = pack_all(ensure_adapters(preset, ("f0", "f1")), layout)
    packed["huge"] = overflowing(packed["f1"])
    made: CrossEngine | CudaCrossEngine
    if request.param == "cores":
        made = CrossEngine(layout.config, weights, shape, 3, **LIMITS)
    else:
        made = CudaCrossEngine(layout.config, weights, AdapterTable(shape, 3, "cpu"), **LIMITS)
    for name, flat in packed.items():
        made.hold(name, flat)
    return made


def test_neighbours_change_no_bit_of_an_answer(engine: Any) -> None:
    (own,) = prompts((100,))
    lengths = (30, 80, 70)
    calm = [Neighbour("f1", prompt) for prompt in prompts(lengths, seed=1)]
    wild = [Neighbour("huge", prompt, 0.7) for prompt in prompts(lengths, seed=2)]
    wanted = beside(engine, Neighbour("f0", own), calm)
    assert same_bits(beside(engine, Neighbour("f0", own), wild), wanted)
    assert not same_bits(beside(engine, Neighbour("f1", own), wild), wanted)
    assert free_positions_hold_zeros(engine)


def test_what_a_slot_held_reaches_nobody(engine: Any) -> None:
    what_a_slot_held_reaches_nobody(engine)
