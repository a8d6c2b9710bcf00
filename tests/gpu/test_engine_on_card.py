"""The engine on the card, with Triton kernels and CUDA graphs, against plain torch without them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.checkpoint import fill, plan_layout
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.ops import TorchOps
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters, ensure_backbone
from tests.systems.engine.driving import answer, collect, drain, mixed, prompts, request

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def tiny() -> Path:
    return ensure_backbone("tiny")


@pytest.fixture(scope="module")
def adapter(tiny: Path) -> Path:
    return ensure_adapters(tiny, ("f0",))["f0"]


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("ops", [TorchOps(), None], ids=["torch", "triton"])
def test_tokens_in_float32_are_those_of_the_cpu_engine(
    graphs: bool, ops: TorchOps | None, tiny: Path, adapter: Path
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    layout = plan_layout(tiny, "float32")
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    host = torch.frombuffer(buffer, dtype=torch.uint8)
    loaded = load_adapter(adapter, layout.config, "float32")
    shape = SlotShape.of(layout.config, 64, TARGETS, torch.float32)
    slot = AdapterSlot(shape, "cuda")
    slot.put(pack(read_adapter(adapter, layout.config), shape))
    limits = {"max_batch_size": 8, "max_context_tokens": 600}
    weights = BackboneWeights.from_flat(layout, host.cuda())
    device = CudaEngine(layout.config, weights, slot, ops=ops, graphs=graphs, **limits)
    cpu = Engine(layout.config, BackboneWeights.from_flat(layout, host), loaded, **limits)
    for lengths in ((5,), (5,), (70, 300), (500,)):
        batch = prompts(lengths)
        assert answer(device, batch, 8) == answer(cpu, batch, 8)
    while device.prepare():
        pass
    running, late = batch = prompts((70, 300))
    answers: dict[int, list[int]] = {}
    collect(answers, device.prefill([request(0, running, 8)]))
    device.begin([request(1, late, 8)])
    collect(answers, mixed(device, {0}))
    assert {number: len(tokens) for number, tokens in answers.items()} == {0: 2, 1: 1}
    drain(device, answers)
    assert answers == dict(enumerate(answer(cpu, batch, 8)))


def test_only_slots_in_use_hold_memory_and_graphs_outlive_their_coming_and_going(
    tiny: Path,
) -> None:
    pytest.importorskip("triton")
    layout = plan_layout(tiny, "float16")
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    weights = BackboneWeights.from_flat(layout, torch.frombuffer(buffer, dtype=torch.uint8).cuda())
    engine = CudaEngine(layout.config, weights, None, max_batch_size=8, max_context_tokens=600)
    while engine.prepare():
        assert engine.reserved_bytes == 0, "no request was there yet"
    one = engine._slab.slot_bytes
    alone = [answer(engine, [prompt], 12) for prompt in prompts((40, 7, 90))]
    engine.prefill([request(n, prompt, 12) for n, prompt in enumerate(prompts((40, 7, 90)))])
    assert engine.reserved_bytes == 3 * one
    assert engine.cancel(1)
    assert engine.reserved_bytes == 3 * one, "until the next step"
    answers = {event.request_id: [event.token_id] for event in engine.decode()}
    assert engine.reserved_bytes == 2 * one
    drain(engine, answers)
    assert engine.reserved_bytes == one
    again = [answer(engine, [prompt], 12) for prompt in prompts((40, 7, 90))]
    assert again == alone
