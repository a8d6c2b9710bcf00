"""Engines across adapters, on cores and in the form that runs on a device: adapters of different
ranks and targets come and go, and each function gets what it gets alone."""

from __future__ import annotations

import gc
import mmap
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters

from .conftest import pack_all
from .driving import answer, collect, drain, prompts, request

Cross = CrossEngine | CudaCrossEngine
MakeEngine = Callable[..., Engine]
LIMITS = {"max_batch_size": 8, "max_context_tokens": 128}
PLACES = 3
KINDS = {
    "f0": (16, ("q_proj", "k_proj", "v_proj", "o_proj")),
    "f1": (4, ("q_proj", "v_proj")),
    "f2": (24, ("v_proj", "gate_proj", "up_proj", "down_proj")),
    "f3": (8, ("o_proj", "down_proj")),
}


@pytest.fixture(scope="module")
def paths(tiny: Path) -> dict[str, Path]:
    return {
        name: ensure_adapters(tiny, [name], rank=rank, targets=targets)[name]
        for name, (rank, targets) in KINDS.items()
    }


@pytest.fixture(scope="module")
def group(
    backbone: tuple[BackboneLayout, BackboneWeights], paths: dict[str, Path]
) -> tuple[SlotShape, dict[str, Tensor]]:
    return pack_all(paths, backbone[0])


@pytest.fixture(params=["cores", "device"])
def shared(
    request: pytest.FixtureRequest,
    backbone: tuple[BackboneLayout, BackboneWeights],
    group: tuple[SlotShape, dict[str, Tensor]],
) -> Cross:
    (layout, weights), (shape, packed) = backbone, group
    engine: Cross
    if request.param == "cores":
        engine = CrossEngine(layout.config, weights, shape, PLACES, **LIMITS)
    else:
        table = AdapterTable(shape, PLACES, "cpu")
        table.rehearse()
        engine = CudaCrossEngine(layout.config, weights, table, **LIMITS)
    for name in ("f0", "f1", "f2"):
        engine.hold(name, packed[name])
    return engine


@pytest.fixture(scope="module")
def packed(group: tuple[SlotShape, dict[str, Tensor]]) -> dict[str, Tensor]:
    return group[1]


@pytest.fixture
def alone(make_engine: MakeEngine, paths: dict[str, Path]) -> Callable[..., list[int]]:
    def one(name: str | None, prompt: tuple[int, ...], tokens: int = 8) -> list[int]:
        return answer(make_engine(name and paths[name]), [prompt], tokens)[0]

    return one


def test_a_mixed_batch_says_what_each_function_says_alone(
    shared: Cross, alone: Callable[..., list[int]]
) -> None:
    names = ("f1", "f0", None, "f2", "f1", "f0")
    batch = prompts((9, 30, 4, 65, 17, 12))
    asked = [request(n, prompt, 8, adapter=names[n]) for n, prompt in enumerate(batch)]
    answers: dict[int, list[int]] = {}
    collect(answers, shared.prefill(asked[:4]))
    collect(answers, shared.decode({0, 3}))
    collect(answers, shared.prefill(asked[4:]))
    drain(shared, answers)
    assert answers == {n: alone(name, batch[n]) for n, name in enumerate(names)}


def test_a_place_that_changes_hands_keeps_nothing_of_the_last(
    shared: Cross, packed: dict[str, Tensor], alone: Callable[..., list[int]]
) -> None:
    first, second = prompts((20, 6))
    for gone, new in (("f2", "f3"), ("f0", "f2"), ("f3", "f0")):
        assert answer(shared, [first], 8, adapter=gone) == [alone(gone, first)]
        shared.drop(gone)
        with pytest.raises(ValueError, match=f"{gone}: no place holds its adapter"):
            shared.prefill([request(0, first, 8, adapter=gone)])
        assert answer(shared, [second], 8) == [alone(None, second)]
        shared.hold(new, packed[new])
        for name in (new, "f1"):
            assert answer(shared, [first], 8, adapter=name) == [alone(name, first)]


def test_an_adapter_of_a_running_request_stays_and_neighbours_go_on(
    shared: Cross, packed: dict[str, Tensor], alone: Callable[..., list[int]]
) -> None:
    (prompt,) = prompts((20,))
    answers: dict[int, list[int]] = {}
    collect(answers, shared.prefill([request(0, prompt, 8, adapter="f0")]))
    with pytest.raises(ValueError, match="f0: a request that uses its adapter is running"):
        shared.drop("f0")
    shared.drop("f2")
    collect(answers, shared.decode())
    shared.hold("f3", packed["f3"])
    drain(shared, answers)
    assert answers[0] == alone("f0", prompt)
    shared.drop("f0")


def test_what_does_not_fit_is_refused_before_anything_changes(
    shared: Cross, packed: dict[str, Tensor], alone: Callable[..., list[int]]
) -> None:
    (prompt,) = prompts((7,))
    with pytest.raises(ValueError, match="f3: all 3 places are taken"):
        shared.hold("f3", packed["f3"])
    with pytest.raises(ValueError, match="f1: has place 2 already"):
        shared.hold("f1", packed["f3"])
    with pytest.raises(ValueError, match="f3: no place holds its adapter"):
        shared.drop("f3")
    shared.drop("f2")
    impossible = packed["f3"].clone()
    impossible.view(torch.int32)[0] = 25
    for wrong in (packed["f3"][:-4], impossible):
        with pytest.raises(ValueError, match="a packed adapter of"):
            shared.hold("f3", wrong)
    asked = [request(0, prompt, 8, adapter="f1"), request(1, prompt, 8, adapter="f3")]
    with pytest.raises(ValueError, match="f3: no place holds its adapter"):
        shared.prefill(asked)
    assert shared.running == ()
    shared.hold("f3", packed["f3"])
    for name in ("f1", "f3"):
        assert answer(shared, [prompt], 8, adapter=name) == [alone(name, prompt)]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_no_numbers_stay_with_their_own(
    value: float, shared: Cross, packed: dict[str, Tensor], alone: Callable[..., list[int]]
) -> None:
    """A parser that was taken over by its tenant's file could pack them."""
    spoilt = packed["f0"].clone()
    spoilt[256:].view(torch.float32).fill_(value)
    shared.drop("f0")
    shared.hold("f0", spoilt)
    names = ("f1", "f0", None, "f2")
    batch = prompts((9, 30, 4, 17))
    answers: dict[int, list[int]] = {}
    for n in (1, 0, 2, 3):
        collect(answers, shared.prefill([request(n, batch[n], 8, adapter=names[n])]))
    drain(shared, answers)
    assert {n: answers[n] for n in (0, 2, 3)} == {n: alone(names[n], batch[n]) for n in (0, 2, 3)}


def test_a_dropped_adapter_is_let_go_and_its_name_given_to_another(
    shared: Cross, packed: dict[str, Tensor], alone: Callable[..., list[int]]
) -> None:
    """With a prompt of one token, every pass has the shape of the last one."""
    (prompt,) = prompts((1,))
    shared.drop("f2")
    for real in ("f0", "f1", "f2"):
        memory = mmap.mmap(-1, packed[real].nbytes)
        memory.write(packed[real].numpy())
        shared.hold("f2", torch.frombuffer(memory, dtype=torch.uint8))
        assert answer(shared, [prompt], 4, adapter="f2") == [alone(real, prompt, 4)]
        mapped = weakref.ref(memory)
        shared.drop("f2")
        del memory
        gc.collect()
        assert mapped() is None
