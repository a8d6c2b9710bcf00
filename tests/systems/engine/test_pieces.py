"""Prompts in pieces: the tokens of whole prompts, on both engines, whatever runs beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.engine.batching import Batching
from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda.engine import CudaEngine
from systems.engine.engine import Engine
from systems.engine.weights import BackboneWeights

from .cuda.test_engine import Made
from .driving import answer, collect, drain, mixed, prompts, request
from .neighbours import free_positions_hold_zeros
from .on_demand import on_demand

LIMITS = {"max_batch_size": 8, "max_context_tokens": 900}
TOKENS = 5
PROMPTS = prompts((1, 40, 65, 130, 520, 580))

MakeEngine = Callable[[int | None], Batching]


@pytest.fixture(scope="module")
def engines(
    backbone: tuple[BackboneLayout, BackboneWeights],
    adapters: dict[str, Path],
    make_engine: Callable[..., Engine],
) -> Iterator[dict[str, MakeEngine]]:
    """Both engines, of one adapter, by the tokens of a piece; that of a device also with memory on
    demand."""
    made = Made(backbone, adapters)

    def device(piece: int | None) -> CudaEngine:
        return made.engine("f1", piece_tokens=piece, **LIMITS)[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "synchronize", lambda: None)
        yield {
            "cpu": lambda piece: make_engine("f1", piece_tokens=piece, **LIMITS),
            "cuda": device,
            "on demand": lambda piece: on_demand(device(piece)),
        }


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def make(request: pytest.FixtureRequest, engines: dict[str, MakeEngine]) -> MakeEngine:
    made: MakeEngine = engines[request.param]
    return made


@pytest.fixture(scope="module")
def alone(make_engine: Callable[..., Engine]) -> Callable[[tuple[int, ...]], list[int]]:
    engine = make_engine("f1", **LIMITS)
    return cache(lambda prompt: answer(engine, [prompt], TOKENS)[0])


@pytest.mark.parametrize("piece", [64, 128, 512])
def test_pieces_give_the_tokens_of_whole_prompts_beside_running_requests(
    piece: int, make: MakeEngine, alone: Callable[[tuple[int, ...]], list[int]]
) -> None:
    batch = prompts((9, 30, 700, 65, 1, 64, 590))
    engine = make(piece)
    answers: dict[int, list[int]] = {}
    asked = [request(n, prompt, TOKENS) for n, prompt in enumerate(batch)]
    collect(answers, engine.prefill(asked[:2]))
    engine.begin(asked[2:5])
    pieces = 0
    while engine.prefilling:
        collect(answers, engine.advance())
        if pieces == 1:
            engine.begin(asked[5:])
        collect(answers, engine.decode())
        pieces += 1
    assert pieces >= (700 + 590) // piece
    drain(engine, answers)
    assert answers == {n: alone(prompt) for n, prompt in enumerate(batch)}
    assert engine.kv_bytes == 0


@pytest.mark.parametrize("length", [150, 700])
def test_pieces_compute_the_keys_and_values_of_whole_prompts(length: int, make: MakeEngine) -> None:
    """They show every layer's hidden states, where a token would hide a small mistake."""
    (prompt,) = prompts((length,))
    parted = []
    for whole in (True, False):
        engine = make(64)
        engine.begin([request(0, prompt, TOKENS)])
        while engine.prefilling:
            engine.advance(whole=whole)
        parted.append(engine.part(0))
    assert parted[0].token == parted[1].token
    torch.testing.assert_close(parted[1].kv, parted[0].kv, rtol=1e-4, atol=1e-4)


def test_a_piece_computes_no_more_tokens_than_it_may(make: MakeEngine) -> None:
    engine = make(64)
    engine.begin([request(n, prompt, TOKENS) for n, prompt in enumerate(prompts((150, 40, 20)))])
    held = [0]
    while engine.prefilling:
        engine.advance()
        held.append(engine.kv_bytes // engine.kv_bytes_per_token)
    assert held[-1] == 150 + 40 + 20
    assert max(after - before for before, after in pairwise(held)) <= 64


def test_whole_prompts_are_advanced_at_once(make: MakeEngine) -> None:
    for engine, whole in ((make(64), True), (make(None), False)):
        engine.begin([request(n, prompt, 1) for n, prompt in enumerate(prompts((700, 40)))])
        assert {event.request_id for event in engine.advance(whole=whole)} == {0, 1}
        assert not engine.prefilling


def test_one_that_waits_for_its_batch_changes_places_once(
    make: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends leaves a place to the last that has its first token, whose batch has not: it is
    passed over by all after it at once."""
    engine = make(64)
    engine.prefill([request(n, prompt, 2 + n % 2) for n, prompt in enumerate(prompts((9,) * 5))])
    engine.begin([request(9 + n, prompt, 2) for n, prompt in enumerate(prompts((40, 500)))])
    engine.advance()
    assert engine.running == (0, 1, 2, 3, 4, 9)
    swapped: list[tuple[int, int]] = []
    swap = engine._slots.swap
    monkeypatch.setattr(engine._slots, "swap", lambda *two: (swapped.append(two), swap(*two)))
    assert {event.finished for event in engine.decode({0, 1, 2, 3, 4})} == {"length", None}
    assert 9 in engine.running[:2], "in the place of one that ended"
    engine.decode({1, 3})
    assert len(swapped) == 1


def test_prompts_of_any_length_are_computed_together(
    engines: dict[str, MakeEngine], alone: Callable[[tuple[int, ...]], list[int]]
) -> None:
    engine, answers, passes = engines["cuda"](512), {}, 0
    batch = prompts((20, 130, 64, 200, 65, 50))
    engine.begin([request(n, prompt, TOKENS) for n, prompt in enumerate(batch)])
    while engine.prefilling:
        collect(answers, engine.advance())
        passes += 1
    assert passes == 2, "of eight tiles each"
    drain(engine, answers)
    assert answers == {n: alone(prompt) for n, prompt in enumerate(batch)}


def test_a_mixed_pass_gives_the_tokens_of_separate_ones(
    engines: dict[str, MakeEngine], alone: Callable[[tuple[int, ...]], list[int]]
) -> None:
    """The first piece of a long prompt beside running requests, too; its later ones are alone."""
    engine, answers = engines["cuda"](512), {}
    batch = prompts((9, 30, 130, 600, 65))
    asked = [request(n, prompt, TOKENS) for n, prompt in enumerate(batch)]
    collect(answers, engine.prefill(asked[:3]))
    engine.begin(asked[3:])
    events = mixed(engine, {0, 2})
    assert [event.request_id for event in events] == [0, 2]
    collect(answers, events)
    assert engine.mix({0, 1}) is None, "a later piece"
    collect(answers, engine.advance())
    found = engine.mix({0, 1, 3})
    assert found is not None
    assert [event.request_id for event in found.first] == [4]
    collect(answers, [*found.first, *found.further])
    drain(engine, answers)
    assert answers == {n: alone(prompt) for n, prompt in enumerate(batch)}


@pytest.mark.parametrize("only", [(), {0}])
def test_a_mixed_pass_needs_both_prompts_and_running_requests(
    only: tuple[()] | set[int], engines: dict[str, MakeEngine]
) -> None:
    engine = engines["cuda"](512)
    first, second = (request(n, prompt, TOKENS) for n, prompt in enumerate(prompts((20, 30))))
    engine.prefill([first])
    assert engine.mix({0}) is None
    engine.begin([second])
    assert (engine.mix(only) is None) == (not only)


def test_a_batch_that_does_not_fit_beside_prompts_in_pieces_is_refused(make: MakeEngine) -> None:
    engine = make(64)
    engine.begin([request(n, prompt, 1) for n, prompt in enumerate(prompts((200,) * 6))])
    with pytest.raises(ValueError, match="a batch of 3 requests, free slots: 2"):
        engine.begin([request(9 + n, prompt, 1) for n, prompt in enumerate(prompts((5,) * 3))])
    assert engine.prefilling == tuple(range(6))


def test_memory_for_keys_and_values_comes_with_the_first_request(
    engines: dict[str, MakeEngine], alone: Callable[[tuple[int, ...]], list[int]]
) -> None:
    engine = engines["on demand"](64)
    memory, computes, there = engine._slab._memory, engine._forward._many, []
    engine._forward._many = lambda *given: (there.append(memory.held), computes(*given))[1]
    while engine.prepare():
        assert memory.held == 0, "a process of the warm pool holds none"
    assert memory.untouched()
    assert set(there) == {1}, "launches check the address of the first slot"
    for prompt in PROMPTS[:2]:
        assert answer(engine, [prompt], TOKENS) == [alone(prompt)]
        assert memory.held == 1, "kept for the next"
    assert not engine.prepare()


@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["cpu", "cuda", "on demand"])
def test_any_order_of_pieces_steps_and_cancellations(
    kind: str,
    engines: dict[str, MakeEngine],
    alone: Callable[[tuple[int, ...]], list[int]],
    data: st.DataObject,
) -> None:
    """Answers are those of each request alone, or the beginning of it if it was cancelled; no slot
    is lost, and none keeps anything; where memory is mapped on demand, none without it is used."""
    engine = engines[kind](data.draw(st.sampled_from([64, 100, 512])))
    answers: dict[int, list[int]] = {}
    asked: dict[int, tuple[int, ...]] = {}
    cancelled: set[int] = set()
    for _ in range(data.draw(st.integers(4, 12))):
        act = data.draw(st.sampled_from(["begin", "advance", "mix", "mix", "decode", "cancel"]))
        held = (*engine.running, *engine.prefilling)
        if act == "begin" and len(held) <= 6:
            drawn = data.draw(st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=2))
            new = {len(asked) + n: prompt for n, prompt in enumerate(drawn)}
            asked |= new
            engine.begin([request(n, prompt, TOKENS) for n, prompt in new.items()])
        elif act == "advance":
            collect(answers, engine.advance())
        elif act == "mix":
            only = data.draw(st.sets(st.sampled_from(engine.running))) if engine.running else ()
            collect(answers, mixed(engine, only) or engine.decode(only))
        elif act == "decode":
            collect(answers, engine.decode())
        elif act == "cancel" and held:
            victim = data.draw(st.sampled_from(held))
            assert engine.cancel(victim)
            cancelled.add(victim)
        assert free_positions_hold_zeros(engine)
        assert kind != "on demand" or engine._slab._memory.untouched()
    while engine.prefilling:
        collect(answers, engine.advance())
    drain(engine, answers)
    for number, prompt in asked.items():
        wanted, found = alone(prompt), answers.get(number, [])
        assert found == (wanted[: len(found)] if number in cancelled else wanted)
    assert engine.kv_bytes == 0
