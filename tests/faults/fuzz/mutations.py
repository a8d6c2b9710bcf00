"""Mutations of bytes, text and JSON, each drawn from a seeded generator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Random = np.random.Generator

EXTREMES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, -1e-300,
    float("nan"), float("inf"), "", " ", "x" * 5000, "0", "\x00", "‮é\ud83d", [], [[]], {}, {"": 0},
    [None] * 50, {"a": {"b": {"c": []}}},
)  # fmt: skip


def cut(random: Random, raw: bytes) -> bytes:
    return raw[: int(random.integers(len(raw) + 1))]


def flip(random: Random, raw: bytes) -> bytes:
    """Change a few bytes, most of them at the start, where headers are."""
    spoilt = bytearray(raw)
    for _ in range(int(random.integers(1, 9))):
        reach = len(raw) if random.integers(3) == 0 else min(len(raw), 400)
        if reach:
            spoilt[int(random.integers(reach))] = int(random.integers(256))
    return bytes(spoilt)


def splice(random: Random, raw: bytes) -> bytes:
    """Remove a piece, double it, or replace it by noise."""
    start, stop = sorted(int(at) for at in random.integers(0, len(raw) + 1, 2))
    stop = min(stop, start + 200)
    middle = [b"", raw[start:stop] * 2, random.bytes(stop - start)][int(random.integers(3))]
    return raw[:start] + middle + raw[stop:]


def noise(random: Random, raw: bytes) -> bytes:
    return bytes(random.bytes(int(random.integers(0, 300))))


SPOIL: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "cut": cut,
    "flip": flip,
    "splice": splice,
    "noise": noise,
}


def some_leaf(random: Random, content: Any) -> Any:
    """Return a copy of a JSON value with one element replaced, removed or added."""
    content = copy.deepcopy(content)
    place, keys = content, []
    while isinstance(place, dict | list) and place and (not keys or random.integers(3)):
        key: Any = (
            list(place)[int(random.integers(len(place)))]
            if isinstance(place, dict)
            else int(random.integers(len(place)))
        )
        keys.append((place, key))
        place = place[key]
    if not keys:
        return extreme(random)
    holder, key = keys[-1]
    match int(random.integers(4)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}_"] = holder[key]
        case _:
            holder[key] = extreme(random)
    return content


def extreme(random: Random) -> Any:
    return EXTREMES[int(random.integers(len(EXTREMES)))]
