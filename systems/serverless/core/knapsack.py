"""The precedence-constrained knapsack of pre-loading (PCKP): which artifacts are worth their bytes.

Value v = loading delay × request rate, weight w = bytes, density ρ = v/w. An item may need one
other in place first, so that the items form a forest: libraries → backbone → adapter → kernels,
the backbone's node having a branch for each adapter that shares it (coupling: an adapter is worth
something only on the device that holds its backbone).

The order is Horn's for out-forests (SIAM J. Appl. Math. 23, 1972): the densest item is joined to
the one it needs until the densest needs nothing. Taken from the front it is the greedy solution of
the knapsack; taken from the back it says what to give up first.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Key = Hashable


@dataclass(frozen=True, slots=True)
class Item:
    """One artifact in one place. ``after`` are the items that must be in place before it; the
    first of them is the branch it is ordered with."""

    key: Key
    value: float
    bytes: int
    place: str
    after: tuple[Key, ...] = ()


@dataclass(slots=True, eq=False)
class Block:
    """Items that go together, in an order that keeps precedence."""

    items: list[Item]
    value: float
    weight: float
    version: int = 0
    done: bool = False

    @property
    def density(self) -> float:
        return self.value / self.weight if self.weight else float("inf")

    def join(self, other: Block) -> None:
        self.items += other.items
        self.value += other.value
        self.weight += other.weight
        self.version += 1


def ordered(items: Sequence[Item], capacity: Mapping[str, int]) -> list[Block]:
    """Every item, in blocks of non-increasing density, none before what it needs. Bytes count as
    shares of their place's capacity, so that places of different sizes can be weighed."""
    block_of: dict[Key, Block] = {
        item.key: Block([item], item.value, item.bytes / max(capacity[item.place], 1))
        for item in items
    }
    turns = itertools.count()
    heap = [(-block.density, next(turns), 0, block) for block in block_of.values()]
    heapq.heapify(heap)
    out: list[Block] = []
    while heap:
        _, _, version, block = heapq.heappop(heap)
        if block.done or version != block.version:
            continue
        block.done = True
        needs = block.items[0].after
        before = block_of[needs[0]] if needs else None
        if before is None or before.done:
            out.append(block)
            continue
        before.join(block)
        for item in block.items:
            block_of[item.key] = before
        heapq.heappush(heap, (-before.density, next(turns), before.version, before))
    return out


def fill(blocks: Iterable[Block], capacity: Mapping[str, int]) -> set[Key]:
    """Greedy: each item in turn that fits and whose needs are met, and again for those whose need
    came later. Precedence and capacity hold."""
    free = dict(capacity)
    chosen: set[Key] = set()
    left = [item for block in blocks for item in block.items if item.value > 0]
    found = True
    while found:
        passed: list[Item] = []
        for item in left:
            if item.bytes <= free[item.place] and all(need in chosen for need in item.after):
                free[item.place] -= item.bytes
                chosen.add(item.key)
            else:
                passed.append(item)
        found = len(passed) < len(left)
        left = passed
    return chosen
