"""The precedence-constrained knapsack of pre-loading (PCKP): selects the artifacts to hold.

Value v = loading delay × request rate, weight w = bytes, density ρ = v/w. An item may require
another one to be in place first, so the items form a forest: libraries → backbone → adapter →
kernels. A backbone has one branch for each adapter that shares it (coupling: an adapter has value
only on a device that holds its backbone).

The order is Horn's for out-forests (SIAM J. Appl. Math. 23, 1972): the densest item is joined to
the item it requires, until the densest requires none. From the front, it is the greedy solution of
the knapsack; from the back, it is the order of eviction.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Key = Hashable


class Item(NamedTuple):
    """An artifact in one place. ``after``: the items that must be in place before it; the first of
    them determines the branch in which it is ordered."""

    key: Key
    value: float
    bytes: int
    place: str
    after: tuple[Key, ...] = ()


@dataclass(slots=True, eq=False)
class Block:
    """Consecutive items, in an order that respects precedence."""

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
    """Return all items in blocks of non-increasing density, none before an item that it requires.
    Bytes count as shares of the place's capacity, so that places of different sizes compare."""
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
    """Choose items greedily: in order, each that fits and whose required items are chosen. Repeat
    for items whose required items were chosen later. Respects precedence and capacity."""
    free = dict(capacity)
    chosen: set[Key] = set()
    left = [item for block in blocks for item in block.items if item.value > 0]
    found = True
    while found:
        passed: list[Item] = []
        for item in left:
            if item.bytes <= free[item.place] and chosen.issuperset(item.after):
                free[item.place] -= item.bytes
                chosen.add(item.key)
            else:
                passed.append(item)
        found = len(passed) < len(left)
        left = passed
    return chosen
