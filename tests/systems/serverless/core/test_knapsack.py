"""The greedy knapsack of pre-loading against the exact optimum, and its constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from systems.serverless.core.knapsack import Item, fill, ordered

INSTANCES = 200


def problem(seed: int) -> tuple[list[Item], dict[str, int]]:
    """Create three to eight functions over one or two backbones on one or two GPUs and one host,
    with rates over several orders of magnitude. Capacities are 30 to 90 % of all items' bytes."""
    random = np.random.default_rng(seed)
    gpus, backbones = random.integers(1, 3, 2)
    functions = random.integers(3, 9)
    gigabytes = random.choice([3.0, 13.5, 26.0], backbones)
    rates = random.lognormal(-3, 1.5, functions)
    homes = [(random.integers(backbones), random.integers(gpus)) for _ in range(functions)]
    items = [
        Item(("libraries", f), rates[f] * 3.0, int(2000 * random.uniform(0.7, 1.3)), "host")
        for f in range(functions)
    ]
    for home in sorted(set(homes)):
        backbone, gpu = home
        users = [f for f in range(functions) if homes[f] == home]
        place, key = f"gpu{gpu}", ("backbone", *home)
        value = sum(rates[f] for f in users) * gigabytes[backbone] / 3
        items.append(Item(key, value, int(gigabytes[backbone] * 1000), place))
        for f in users:
            adapter, size = ("adapter", f), int(random.integers(30, 700))
            value = rates[f] * random.uniform(0.3, 1)
            items.append(Item(adapter, value, size, place, (key, ("libraries", f))))
            value, size = rates[f] * random.uniform(0.5, 1.5), int(random.integers(500, 3000))
            items.append(Item(("kernels", f), value, size, place, (adapter,)))
    total: dict[str, int] = {}
    for item in items:
        total[item.place] = total.get(item.place, 0) + item.bytes
    return items, {place: int(size * random.uniform(0.3, 0.9)) for place, size in total.items()}


def optimum(items: Sequence[Item], capacity: Mapping[str, int]) -> float:
    """Return the value of the best choice, computed by HiGHS."""
    index = {item.key: i for i, item in enumerate(items)}
    rows, bounds = [], []
    for place, size in capacity.items():
        rows.append([item.bytes if item.place == place else 0 for item in items])
        bounds.append(size)
    for item in items:
        for need in item.after:
            row = [0] * len(items)
            row[index[item.key]], row[index[need]] = 1, -1
            rows.append(row)
            bounds.append(0)
    found = milp(
        -np.array([item.value for item in items]),
        constraints=LinearConstraint(np.array(rows), -np.inf, bounds),
        integrality=np.ones(len(items)),
        bounds=Bounds(0, 1),
    )
    return float(-found.fun)


def greedy(items: Sequence[Item], capacity: Mapping[str, int]) -> list[Item]:
    chosen = fill(ordered(items, capacity), capacity)
    return [item for item in items if item.key in chosen]


def test_greedy_reaches_95_percent_of_the_optimum_in_the_median() -> None:
    shares = []
    for seed in range(INSTANCES):
        items, capacity = problem(seed)
        value = sum(item.value for item in greedy(items, capacity))
        shares.append(value / optimum(items, capacity))
    assert max(shares) <= 1 + 1e-6, "nothing is better than the optimum"
    assert np.median(shares) >= 0.95
    assert np.mean(np.array(shares) >= 0.95) >= 0.75


@given(st.integers(0, 10_000))
def test_no_constraint_is_ever_broken(seed: int) -> None:
    items, capacity = problem(seed)
    chosen = greedy(items, capacity)
    keys = {item.key for item in chosen}
    for place, size in capacity.items():
        assert sum(item.bytes for item in chosen if item.place == place) <= size
    assert all(need in keys for item in chosen for need in item.after)


@given(st.integers(0, 10_000))
def test_the_order_is_by_density_and_keeps_precedence(seed: int) -> None:
    items, capacity = problem(seed)
    blocks = ordered(items, capacity)
    flat = [item.key for block in blocks for item in block.items]
    assert sorted(map(str, flat)) == sorted(str(item.key) for item in items)
    for item in items:
        if item.after:
            assert flat.index(item.after[0]) < flat.index(item.key)
    densities = [block.density for block in blocks]
    assert all(a >= b * (1 - 1e-9) for a, b in pairwise(densities))


def test_a_branch_that_is_worth_more_than_its_backbone_pulls_it_in() -> None:
    items = [
        Item("poor backbone", 1, 100, "gpu"),
        Item("hot adapter", 500, 10, "gpu", ("poor backbone",)),
        Item("fair backbone", 200, 100, "gpu"),
    ]
    assert fill(ordered(items, {"gpu": 110}), {"gpu": 110}) == {"poor backbone", "hot adapter"}
