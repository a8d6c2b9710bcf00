"""One request's answer is the same bit for bit whatever its neighbours are, at the same shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.requests import GenerationRequest
from systems.engine.weights import BackboneWeights

from .conftest import pack_all
from .driving import prompts
from .neighbours import (
    MINE,
    Neighbour,
    beside,
    free_positions_hold_zeros,
    overflowing,
    same_bits,
    what_a_slot_held_reaches_nobody,
)

Backbone = tuple[BackboneLayout, BackboneWeights]
LIMITS = {"max_batch_size": 8, "max_context_tokens": 300, "piece_tokens": 64}


@pytest.fixture(scope="module", params=["cores", "device"])
def engine(request: pytest.FixtureRequest, backbone: Backbone, adapters: dict[str, Path]) -> Any:
    layout, weights = backbone
    shape, packed = pack_all({name: adapters[name] for name in ("f0", "f1")}, layout)
    packed["huge"] = overflowing(packed["f1"])
    made: CrossEngine | CudaCrossEngine
    if request.param == "cores":
        made = CrossEngine(layout.config, weights, shape, 3, **LIMITS)
    else:
        made = CudaCrossEngine(layout.config, weights, AdapterTable(shape, 3, "cpu"), **LIMITS)
    for name, flat in packed.items():
        made.hold(name, flat)
    return made


FIRST, OWN, OTHERS = prompts((30, 100, 120), seed=3)
OWNS = [Neighbour("f0", OWN), Neighbour("f0", OWN, 1.0), Neighbour(None, OWN)]
CALM = [Neighbour("f1", FIRST), Neighbour("f1", OTHERS[:80]), Neighbour(None, OTHERS[:70])]
OTHER_PROMPTS = prompts((30, 80, 70), seed=4)


def changed(change: Callable[[int, Neighbour], Neighbour]) -> list[Neighbour]:
    return [change(index, neighbour) for index, neighbour in enumerate(CALM)]


CHANGES = {
    "adapters": changed(lambda n, each: Neighbour((None, "f1", "f1")[n], each.prompt)),
    "overflow": changed(lambda n, each: Neighbour("huge", each.prompt)),
    "prompts": changed(lambda n, each: Neighbour(each.adapter, OTHER_PROMPTS[n])),
    "sampling": changed(lambda n, each: Neighbour(each.adapter, each.prompt, 1.5, 0.3)),
    # The sum of all lengths, the longest and the first, which comes before the request, stay.
    "lengths": [CALM[0], Neighbour("f1", OTHERS[:70]), Neighbour(None, OTHERS[:80])],
    "all": [
        Neighbour("huge", OTHER_PROMPTS[0], 1.0),
        Neighbour(None, OTHERS[-70:]),
        Neighbour("huge", OTHERS[-80:], 0.7, 0.1),
    ],
}


@pytest.fixture(scope="module")
def calm(engine: Any) -> Callable[[Neighbour], Any]:
    """What a request gets beside the calm neighbours, computed once."""
    found: dict[int, Any] = {}

    def beside_calm(own: Neighbour) -> Any:
        if id(own) not in found:
            found[id(own)] = beside(engine, own, CALM)
        return found[id(own)]

    return beside_calm


@pytest.mark.parametrize("own", OWNS, ids=["greedy", "sampled", "backbone"])
@pytest.mark.parametrize("change", CHANGES)
def test_neighbours_change_no_bit_of_an_answer(
    change: str, own: Neighbour, engine: Any, calm: Callable[[Neighbour], Any]
) -> None:
    assert same_bits(beside(engine, own, CHANGES[change]), calm(own))
    assert free_positions_hold_zeros(engine)


def test_the_checked_bits_are_those_of_the_request(engine: Any) -> None:
    """Another adapter or prompt of its own changes them."""
    found = [
        beside(engine, own, CALM)
        for own in (Neighbour("f0", OWN), Neighbour("f1", OWN), Neighbour("f0", OWN[::-1]))
    ]
    assert not same_bits(found[1], found[0])
    assert not same_bits(found[2], found[0])


def test_what_a_slot_held_reaches_nobody(engine: Any) -> None:
    what_a_slot_held_reaches_nobody(engine)


# -- requests that no caller of the endpoint can make -------------------------------------------

HOSTILE: dict[str, dict[str, Any]] = {
    "an id below zero": {"prompt_ids": (5, -1, 6)},
    "an id beyond the vocabulary": {"prompt_ids": (5, 1024)},
    "an id of 2^40": {"prompt_ids": (1 << 40,)},
    "no prompt": {"prompt_ids": ()},
    "a prompt longer than the context": {"prompt_ids": (5,) * 300},
    "no tokens": {"max_tokens": 0},
    "tokens below zero": {"max_tokens": -1},
    "an adapter that is not held": {"adapter": "f2"},
    "an adapter of no name": {"adapter": ""},
    "an adapter by its place": {"adapter": "1"},
}
TAKEN: dict[str, dict[str, Any]] = {
    "tokens without end": {"max_tokens": 1 << 60},
    "almost no temperature": {"temperature": 1e-300},
    "an endless temperature": {"temperature": float("inf")},
    "a temperature that is no number": {"temperature": float("nan")},
    "almost no nucleus": {"temperature": 1.0, "top_p": 1e-300},
    "stops outside the vocabulary": {"stop_token_ids": (-1, 1 << 40), "ignore_eos": False},
}


def beside_one(engine: Any, other: GenerationRequest, *attacks: GenerationRequest) -> Any:
    """Run a request beside ``other`` and return its tokens, keys and values. Between two steps,
    each of ``attacks`` is begun together with a request that is as it should be."""
    events = engine.prefill([Neighbour("f0", OWN[:40]).asked(MINE), other])
    for attack in attacks:
        running = engine.running
        with pytest.raises(ValueError, match=r"request 9|no place holds its adapter"):
            engine.begin([Neighbour("f1", FIRST).asked(8), attack])
        assert (engine.running, engine.prefilling) == (running, ())
    for _ in range(4):
        events += engine.decode()
    parted = engine.part(MINE)
    for number in engine.running:
        engine.cancel(number)
    return [each.token_id for each in events if each.request_id == MINE], parted.kv


def test_a_hostile_request_is_refused_before_anything_changes(engine: Any) -> None:
    other, plain = Neighbour("f1", FIRST).asked(1), Neighbour("f1", FIRST).asked(9)
    attacks = [replace(plain, **fields) for fields in HOSTILE.values()]
    assert same_bits(beside_one(engine, other, *attacks), beside_one(engine, other))


@pytest.mark.parametrize("fields", TAKEN.values(), ids=TAKEN)
def test_values_that_no_caller_can_send_stay_with_their_request(
    fields: dict[str, Any], engine: Any
) -> None:
    other = Neighbour("f1", FIRST).asked(1)
    assert same_bits(beside_one(engine, replace(other, **fields)), beside_one(engine, other))
