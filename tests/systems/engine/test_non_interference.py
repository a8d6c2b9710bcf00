"""One request's answer is the same bit for bit whatever its neighbours are, at the same shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.weights import BackboneWeights

from .conftest import pack_all
from .driving import prompts
from .neighbours import (
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


@pytest.mark.parametrize("own", OWNS, ids=["greedy", "sampled", "backbone"])
@pytest.mark.parametrize("change", CHANGES)
def test_neighbours_change_no_bit_of_an_answer(change: str, own: Neighbour, engine: Any) -> None:
    assert same_bits(beside(engine, own, CHANGES[change]), beside(engine, own, CALM))
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
