"""Adapters of every form on the card, with Triton kernels and CUDA graphs: the tokens are those of
the CPU engine with the adapter alone (tests/systems/engine/test_adapter_forms.py compares it with
peft)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import StoredAdapter, load_adapter, read_adapter
from systems.engine.checkpoint import fill, plan_layout
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.multi import CudaMultiEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.projections import BLOCKS
from systems.engine.weights import BackboneWeights
from systems.interface import Deployment, Function
from systems.models import FORMS, ensure_backbone, ensure_form
from systems.registry import system_class
from tests.systems.engine.driving import answer, collect, drain, prompts, request

from .test_shared_on_card import ask, deployment

NAMES, RANK, TOKENS = tuple(FORMS), 24, 8
LENGTHS = (5, 70)
LIMITS = {"max_batch_size": 8, "max_context_tokens": 600}


class Made:
    """The backbone on the host and the card, the adapters, and the right answers."""

    def __init__(self) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        self.tiny: Path = ensure_backbone("tiny")
        self.layout = plan_layout(self.tiny, "float32")
        buffer = bytearray(self.layout.nbytes)
        fill(self.layout, self.tiny, memoryview(buffer))
        self.host = torch.frombuffer(buffer, dtype=torch.uint8)
        self.paths = {form: ensure_form(self.tiny, [form], form, RANK)[form] for form in NAMES}
        self.shape = SlotShape.of(self.layout.config, RANK, BLOCKS, torch.float32)
        self.packed: dict[str, Tensor] = {
            form: pack(self.stored(form), self.shape) for form in NAMES
        }
        self.wanted = {form: self._alone(form) for form in (None, *NAMES)}

    def stored(self, form: str) -> StoredAdapter:
        return read_adapter(self.paths[form], self.layout.config)

    def weights(self) -> BackboneWeights:
        return BackboneWeights.from_flat(self.layout, self.host.cuda())

    def _alone(self, form: str | None) -> list[list[int]]:
        weights = BackboneWeights.from_flat(self.layout, self.host)
        config = self.layout.config
        adapter = load_adapter(self.paths[form], config, "float32") if form else None
        return answer(Engine(config, weights, adapter, **LIMITS), prompts(LENGTHS), TOKENS)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


GRAPHS = pytest.mark.parametrize("graphs", [False, True], ids=["eager", "graphs"])


@GRAPHS
@pytest.mark.parametrize("form", NAMES)
def test_in_a_slot_of_its_own(form: str, graphs: bool, made: Made) -> None:
    stored, config = made.stored(form), made.layout.config
    shape = SlotShape.of(config, stored.rank, stored.targets, torch.float32)
    slot = AdapterSlot(shape, "cuda")
    slot.rehearse()
    slot.load(stored)
    engine = CudaEngine(config, made.weights(), slot, graphs=graphs, **LIMITS)
    for _ in range(3):  # eager, captured, replayed
        assert answer(engine, prompts(LENGTHS), TOKENS) == made.wanted[form]
        alone = [answer(engine, [prompt], TOKENS)[0] for prompt in prompts(LENGTHS)]
        assert alone == made.wanted[form]


@GRAPHS
def test_a_slot_keeps_nothing_of_the_form_that_had_it(graphs: bool, made: Made) -> None:
    slot = AdapterSlot(made.shape, "cuda")
    engine = CudaEngine(made.layout.config, made.weights(), slot, graphs=graphs, **LIMITS)
    for form in ("all-linear", "some-layers", "ranks-by-pattern", "by-regex", "plain"):
        slot.load(made.stored(form))
        assert answer(engine, prompts(LENGTHS), TOKENS) == made.wanted[form]
    slot.clear()
    assert answer(engine, prompts(LENGTHS), TOKENS) == made.wanted[None]


@pytest.fixture(params=[False, True], ids=["eager", "graphs"])
def shared(request: pytest.FixtureRequest, made: Made) -> CudaMultiEngine:
    table = AdapterTable(made.shape, len(NAMES), "cuda")
    config = made.layout.config
    engine = CudaMultiEngine(config, made.weights(), table, graphs=request.param, **LIMITS)
    for form in NAMES:
        engine.hold(form, made.packed[form])
    while engine.prepare():
        pass
    return engine


def test_all_forms_in_one_batch_and_merged_one_after_another(
    shared: CudaMultiEngine, made: Made
) -> None:
    for _ in range(2):
        for index, prompt in enumerate(prompts(LENGTHS)):
            answers: dict[int, list[int]] = {}
            asked = [request(n, prompt, TOKENS, adapter=form) for n, form in enumerate(NAMES)]
            collect(answers, shared.prefill(asked[:2]))
            collect(answers, shared.prefill([*asked[2:], request(99, prompt, TOKENS)]))
            drain(shared, answers)
            assert answers.pop(99) == made.wanted[None][index]
            assert answers == {n: made.wanted[form][index] for n, form in enumerate(NAMES)}
        for form in NAMES:
            shared.merge(form)
            assert answer(shared, prompts(LENGTHS), TOKENS, adapter=form) == made.wanted[form]
        shared.merge(None)


def test_a_place_keeps_nothing_of_the_form_that_had_it(shared: CudaMultiEngine, made: Made) -> None:
    for form in NAMES:
        shared.drop(form)
    turned = dict(zip(NAMES, (*NAMES[3:], *NAMES[:3]), strict=True))
    for name, form in turned.items():
        shared.hold(name, made.packed[form])
        assert answer(shared, prompts(LENGTHS), TOKENS, adapter=name) == made.wanted[form]


def test_a_float16_slot_has_the_bits_that_packing_on_the_host_makes(made: Made) -> None:
    for form in NAMES:
        stored = made.stored(form)
        shape = SlotShape.of(made.layout.config, RANK, BLOCKS, torch.float16)
        placed, put = AdapterSlot(shape, "cuda"), AdapterSlot(shape, "cuda")
        placed.load(stored)
        put.put(pack(stored, shape))
        for name in shape.spans:
            for layer in range(made.layout.config.num_layers):
                found, wanted = placed.at(name, layer), put.at(name, layer)
                assert found is not None
                assert wanted is not None
                for half in ("a", "b", "bounds"):
                    assert torch.equal(getattr(found, half), getattr(wanted, half))
                    assert getattr(found, half).data_ptr() % 16 == 0


def deployed(made: Made, isolation: str) -> Deployment:
    functions = tuple(
        Function(id=form, backbone="tiny", adapter=path, tenant="acme")
        for form, path in made.paths.items()
    )
    wanted = deployment({}).model_copy(update={"functions": functions})
    return wanted.model_copy(update={"isolation": isolation})


def test_every_isolation_level_gives_the_same_and_compiles_nothing_late(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel is compiled again for an address of another alignment, such as that of a layer's
    bounds; the kernels of a deployment are compiled with one layer."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    said: dict[str, Any] = {}
    for isolation in ("function", "tenant", "backbone"):
        with system_class("serverless-lora")() as system:
            url = system.deploy(deployed(made, isolation)).base_url
            said[isolation] = asyncio.run(_all(url))
            assert system.system_trace().warnings == ()
    assert said["function"] == said["tenant"] == said["backbone"]
    assert len(set(said["function"])) > len(NAMES) // 2


async def _all(url: str) -> list[str]:
    """Ask all functions, together and one by one; return the answers one by one."""
    await asyncio.gather(*(ask(url, form) for form in (*NAMES, "tiny")))
    return [await ask(url, form) for form in NAMES]
