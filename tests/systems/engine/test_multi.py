"""Functions that share an engine return the same tokens as each alone, for any batch and merge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systems.engine.adapter import AdapterWeights, load_adapter
from systems.engine.checkpoint import BackboneLayout
from systems.engine.engine import Engine
from systems.engine.grouped_lora import rows_of
from systems.engine.merging import Merger
from systems.engine.multi import MultiEngine
from systems.engine.weights import BackboneWeights

from .conftest import load_backbone, pack_all
from .driving import answer, collect, drain, prompts, request

MakeEngine = Callable[..., Engine]
NAMES = (None, "f0", "f1", "f2")


@pytest.fixture(scope="module")
def own(tiny: Path) -> tuple[BackboneLayout, BackboneWeights]:
    return load_backbone(tiny, "float32")


@pytest.fixture(scope="module")
def loaded(
    own: tuple[BackboneLayout, BackboneWeights], adapters: dict[str, Path]
) -> dict[str, AdapterWeights]:
    layout, _ = own
    return {name: load_adapter(adapters[name], layout.config, layout.dtype) for name in NAMES[1:]}


@pytest.fixture
def shared(own: tuple[BackboneLayout, BackboneWeights], adapters: dict[str, Path]) -> MultiEngine:
    layout, weights = own
    shape, packed = pack_all({name: adapters[name] for name in NAMES[1:]}, layout)
    limits = {"max_batch_size": 16, "max_context_tokens": 128}
    engine = MultiEngine(layout.config, weights, shape, len(packed), **limits)
    for name, flat in packed.items():
        engine.hold(name, flat)
    return engine


def alone(make_engine: MakeEngine, name: str | None, prompt: tuple[int, ...]) -> list[int]:
    return answer(make_engine(name), [prompt], 10)[0]


def test_a_mixed_batch_says_what_each_function_says_alone(
    shared: MultiEngine, make_engine: MakeEngine
) -> None:
    names = (*NAMES, *reversed(NAMES))
    batch = prompts((9, 30, 4, 17, 50, 3, 22, 11))
    answers: dict[int, list[int]] = {}
    asked = [request(n, prompt, 10, adapter=names[n]) for n, prompt in enumerate(batch)]
    collect(answers, shared.prefill(asked[:5]))
    collect(answers, shared.decode())
    collect(answers, shared.prefill(asked[5:]))
    drain(shared, answers)
    wanted = [alone(make_engine, name, batch[n]) for n, name in enumerate(names)]
    assert answers == dict(enumerate(wanted))


def test_those_that_wait_are_as_they_were(shared: MultiEngine, make_engine: MakeEngine) -> None:
    batch = prompts((20, 8, 33, 5))
    names = ("f0", "f1", "f0", "f2")
    answers: dict[int, list[int]] = {}
    asked = [request(n, prompt, 10, adapter=names[n]) for n, prompt in enumerate(batch)]
    collect(answers, shared.prefill(asked))
    for only in ({1}, {2, 3}, {0, 3}, {1, 2}, set()):
        before = {number: len(tokens) for number, tokens in answers.items()}
        collect(answers, shared.decode(only))
        grown = {n for n, tokens in answers.items() if len(tokens) > before[n]}
        assert grown == only
    drain(shared, answers)
    assert answers == {n: alone(make_engine, names[n], batch[n]) for n in range(4)}


def test_merged_and_unmerged_say_the_same(shared: MultiEngine, make_engine: MakeEngine) -> None:
    (prompt,) = prompts((24,))
    for name in ("f1", "f2", "f1"):
        answers: dict[int, list[int]] = {}
        collect(answers, shared.prefill([request(0, prompt, 10, adapter=name)]))
        collect(answers, shared.decode())
        shared.merge(name)
        collect(answers, shared.decode())
        collect(answers, shared.decode())
        shared.merge(None)
        drain(shared, answers)
        assert answers[0] == alone(make_engine, name, prompt)


def test_logits_of_a_merged_adapter_differ_by_rounding_alone(
    shared: MultiEngine,
) -> None:
    ids = torch.arange(5, 45)
    seen = []
    for name in (None, "f0"):
        shared.merge(name)
        asked = [request(0, tuple(ids.tolist()), 1, adapter="f0")]
        seen.append(_logits(shared, asked))
    shared.merge(None)
    assert torch.allclose(*seen, rtol=1e-4, atol=1e-4)
    assert not torch.equal(*seen)


def _logits(engine: MultiEngine, asked: list[object]) -> torch.Tensor:
    found: list[torch.Tensor] = []
    forward = engine._forward

    class Kept:
        use = forward.use

        def __call__(self, *arguments: object) -> torch.Tensor:
            found.append(forward(*arguments))
            return found[-1]

    engine._forward = Kept()
    engine.prefill(asked)
    engine._forward = forward
    return found[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_come_back_bit_for_bit(
    dtype: str, tiny: Path, loaded: dict[str, AdapterWeights]
) -> None:
    layout, weights = load_backbone(tiny, dtype)
    before = [getattr(layer, name).clone() for layer in weights.layers for name in ("qkv", "down")]
    merger = Merger(weights)
    for name in ("f0", "f2", "f0"):
        merger.merge(loaded[name])
    changed = [getattr(layer, name) for layer in weights.layers for name in ("qkv", "down")]
    assert not all(torch.equal(*pair) for pair in zip(before, changed, strict=True))
    merger.unmerge()
    assert all(torch.equal(*pair) for pair in zip(before, changed, strict=True))
    assert 0 < merger.nbytes <= layout.nbytes


def test_nobody_else_runs_beside_the_merged(shared: MultiEngine) -> None:
    shared.merge("f0")
    (prompt,) = prompts((6,))
    with pytest.raises(ValueError, match="f0 is merged"):
        shared.prefill([request(0, prompt, 3, adapter="f1")])
    shared.merge(None)
    assert shared.running == ()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 9)), min_size=1, max_size=12))
def test_every_row_is_its_adapters(sequences: list[tuple[str | None, int]]) -> None:
    names, lengths = [s[0] for s in sequences], [s[1] for s in sequences]
    wanted = [name for name, length in sequences for _ in range(length)]
    found: list[str | None] = [None] * len(wanted)
    indices = torch.arange(len(wanted))
    for name, rows in rows_of(names, lengths).items():
        for row in indices[rows].tolist():
            assert found[row] is None
            found[row] = name
    assert found == wanted
