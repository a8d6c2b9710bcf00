"""What a request may not notice: who its neighbours in the batch are, and who had its slot before.

The checks take an engine that holds the adapters ``f0``, ``f1`` and ``huge``, which overflows; they
run on the CPU and on a card alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from systems.engine.packed_size import ALIGNMENT

from .driving import Prompt, collect, drain, mixed, prompts, request

MINE, STEPS = 0, 4
HEADER = ALIGNMENT
"""Bytes of the header of a packed adapter for the tiny preset."""
HUGE = {torch.float32: 1e30, torch.float16: 6e4}


def overflowing(packed: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a packed adapter of the same shape whose values are finite and whose products are
    not."""
    grown = packed.clone()
    grown[HEADER:].view(dtype).fill_(HUGE[dtype])
    return grown


@dataclass(frozen=True)
class Neighbour:
    adapter: str | None
    prompt: Prompt
    temperature: float = 0.0
    top_p: float = 1.0

    def asked(self, number: int) -> Any:
        more = {"adapter": self.adapter, "temperature": self.temperature, "top_p": self.top_p}
        return request(number, self.prompt, 50, seed=number, **more)


def beside(
    engine: Any, mine: Neighbour, neighbours: Sequence[Neighbour]
) -> tuple[list[int], Tensor]:
    """Run a request in the second slot beside neighbours, prompts in pieces and, where the engine
    has them, mixed passes: its prompt beside a neighbour's tokens, then its tokens beside a
    neighbour's prompt. Return its tokens and its keys and values, which show every bit of its
    hidden states."""
    first, *others = (each.asked(1 + n) for n, each in enumerate(neighbours))
    answers: dict[int, list[int]] = {}
    for batch in filter(None, ([first], [mine.asked(MINE), *others[:1]], others[1:])):
        engine.begin(batch)
        running = frozenset(engine.running)
        while engine.prefilling:
            collect(answers, mixed(engine, running) or engine.advance())
    for _ in range(STEPS):
        collect(answers, engine.decode())
    parted = engine.part(MINE)
    for number in engine.running:
        engine.cancel(number)
    assert parted.cached == len(mine.prompt) + len(answers[MINE]) - 1
    return answers[MINE], parted.kv


def same_bits(found: tuple[list[int], Tensor], wanted: tuple[list[int], Tensor]) -> bool:
    whole = wanted[1].isfinite().all()
    return bool(whole) and found[0] == wanted[0] and torch.equal(found[1], wanted[1])


def free_positions_hold_zeros(engine: Any) -> bool:
    """Whether every position that no request uses is zero, in slots that have memory."""
    slots = engine._slots
    held = getattr(slots, "held", len(slots._used))
    return all(
        not slots._slab[:, :, slot, :, used:].count_nonzero()
        for slot, used in enumerate(slots._used[:held])
    )


def what_a_slot_held_reaches_nobody(engine: Any) -> None:
    """A request leaves NaN behind in every position of its slot; another function gets the slot
    while a third request, with a longer context, runs beside it."""
    longer, left, later = prompts((60, 50, 8), seed=5)

    def asked() -> list[int]:
        answers: dict[int, list[int]] = {}
        collect(answers, engine.prefill([request(2, later, STEPS, adapter="f1")]))
        for _ in range(STEPS):
            collect(answers, engine.decode())
        return answers[2]

    engine.prefill([request(0, longer, 60, adapter="f0")])
    wanted = asked()
    engine.prefill([request(1, left, 60, adapter="huge")])
    engine.decode()
    slot = engine.running.index(1)
    held = engine._slots._slab[:, :, slot, :, : len(left) + 1]
    assert held[1:].isnan().any()  # the adapter overflows in the first layer
    held.fill_(torch.nan)
    assert engine.cancel(1)
    assert free_positions_hold_zeros(engine)
    assert asked() == wanted
    engine.cancel(0)
    drain(engine, {})
    assert free_positions_hold_zeros(engine)
