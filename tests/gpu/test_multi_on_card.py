"""Several adapters on the card, against a CPU engine for each adapter alone: CUDA graphs stay
correct after every change of the batch, the adapter table and the merged weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from systems.engine.adapter import AdapterWeights, load_adapter, read_adapter
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.cuda.multi import CudaMultiEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters, ensure_backbone
from tests.systems.engine.driving import answer, collect, drain, prompts, request

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LIMITS = {"max_batch_size": 8, "max_context_tokens": 600}
RANKS = {"f0": 64, "f1": 4, "f2": 16, "f3": 24}
NAMES = tuple(RANKS)


class Made:
    def __init__(self) -> None:
        tiny: Path = ensure_backbone("tiny")
        self.layout: BackboneLayout = plan_layout(tiny, "float32")
        buffer = bytearray(self.layout.nbytes)
        fill(self.layout, tiny, memoryview(buffer))
        self.host = torch.frombuffer(buffer, dtype=torch.uint8)
        paths = {
            name: ensure_adapters(tiny, [name], rank=rank)[name] for name, rank in RANKS.items()
        }
        self.adapters: dict[str, AdapterWeights] = {
            name: load_adapter(path, self.layout.config, "float32") for name, path in paths.items()
        }
        self.shape = SlotShape.of(self.layout.config, 64, TARGETS, torch.float32)
        self.packed = {
            name: pack(read_adapter(path, self.layout.config), self.shape)
            for name, path in paths.items()
        }

    def alone(self, name: str | None, prompt: tuple[int, ...], tokens: int) -> list[int]:
        weights = BackboneWeights.from_flat(self.layout, self.host)
        adapter = self.adapters[name] if name else None
        return answer(Engine(self.layout.config, weights, adapter, **LIMITS), [prompt], tokens)[0]


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture(params=[False, True], ids=["eager", "graphs"])
def shared(request: pytest.FixtureRequest, made: Made) -> CudaMultiEngine:
    torch.backends.cuda.matmul.allow_tf32 = False
    config = made.layout.config
    table = AdapterTable(made.shape, 3, "cuda")
    weights = BackboneWeights.from_flat(made.layout, made.host.cuda())
    engine = CudaMultiEngine(config, weights, table, graphs=request.param, **LIMITS)
    for name in NAMES[:3]:
        engine.hold(name, made.packed[name])
    while engine.prepare():
        pass
    return engine


def test_mixed_batches_say_what_each_function_says_alone(
    shared: CudaMultiEngine, made: Made
) -> None:
    batch = prompts((5, 70, 300, 12))
    for names in (("f0", "f1", None, "f2"), ("f2", "f2", "f0", None), (None, None, "f1", "f0")):
        answers: dict[int, list[int]] = {}
        asked = [request(n, prompt, 8, adapter=names[n]) for n, prompt in enumerate(batch)]
        collect(answers, shared.prefill(asked[:1]))
        collect(answers, shared.prefill(asked[1:]))
        collect(answers, shared.decode({1, 3}))
        drain(shared, answers)
        assert answers == {n: made.alone(names[n], batch[n], 8) for n in range(4)}


def test_merging_in_place_is_seen_by_captured_graphs_and_undone(
    shared: CudaMultiEngine, made: Made
) -> None:
    (prompt,) = prompts((40,))
    for name in (None, "f0", None, "f1", "f0"):
        shared.merge(name)
        for _ in range(3):
            assert answer(shared, [prompt], 8, adapter=name) == [made.alone(name, prompt, 8)]
    shared.merge(None)
    assert answer(shared, [prompt], 8, adapter="f2") == [made.alone("f2", prompt, 8)]


def test_a_place_changes_hands_under_captured_graphs(shared: CudaMultiEngine, made: Made) -> None:
    (prompt,) = prompts((20,))
    for _ in range(3):
        assert answer(shared, [prompt], 8, adapter="f1") == [made.alone("f1", prompt, 8)]
    shared.drop("f1")
    shared.hold("f3", made.packed["f3"])
    assert answer(shared, [prompt], 8, adapter="f3") == [made.alone("f3", prompt, 8)]


def test_a_running_request_moves_to_another_engine_with_its_keys_and_values(
    shared: CudaMultiEngine, made: Made
) -> None:
    (prompt,) = prompts((30,))
    answers: dict[int, list[int]] = {}
    collect(answers, shared.prefill([request(0, prompt, 8, adapter="f1")]))
    collect(answers, shared.decode())
    parted = shared.part(0)
    assert not shared.running
    shared.join(parted)
    drain(shared, answers)
    assert answers[0] == made.alone("f1", prompt, 8)
