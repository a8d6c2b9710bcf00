"""What is on a card that is not its own is seen by the driver's memory."""

from __future__ import annotations

from harness.cells.card_check import misplaced
from harness.cells.sample import Sample
from systems.interface import MemoryOwner, MemoryStep

GB = 10**9


def step(t_ns: int, device: str, owner: MemoryOwner, gb: float) -> MemoryStep:
    return MemoryStep(t_ns, device, owner, None, round(gb * GB))


def sample(t_ns: int, **gb: float) -> Sample:
    return Sample(t_ns, 0, 0, 0, 1, {f"cuda:{n[1:]}": round(size * GB) for n, size in gb.items()})


LEDGER = [
    step(0, "cuda:0", MemoryOwner.WEIGHTS, 13.5),
    step(1, "cuda:1", MemoryOwner.WEIGHTS, 13.5),
    step(2, "cuda:1", MemoryOwner.CONTEXT, 1.0),
    step(3, "cuda:0", MemoryOwner.WEIGHTS, 0),
    step(3, "host", MemoryOwner.HOST_TIER, 1.0),
]


def test_a_planted_instance_is_seen_on_the_card_that_it_is_on() -> None:
    right = [sample(2, d0=14.0, d1=15.0, d2=0.5), sample(4, d0=0.5, d1=15.0, d2=0.5)]
    assert list(misplaced(LEDGER, right)) == []
    planted = [sample(2, d0=14.0, d1=0.5, d2=15.0)]
    (told,) = misplaced(LEDGER, planted)
    assert told.startswith("cuda:2: the driver counts 15.0 GB, the ledger at most 0.0;")
    both_on_one = [sample(2, d0=28.0, d1=0.5)]
    (told,) = misplaced(LEDGER, both_on_one)
    assert told.startswith("cuda:0: the driver counts 28.0 GB, the ledger at most 13.5;")


def test_without_a_ledger_of_cards_or_a_driver_nothing_is_compared() -> None:
    assert list(misplaced([step(0, "cpu:0", MemoryOwner.WEIGHTS, 1)], [sample(2, d0=70)])) == []
    assert list(misplaced(LEDGER, [Sample(0, 0, 0, 0, 1)])) == []
    assert list(misplaced([], [])) == []
