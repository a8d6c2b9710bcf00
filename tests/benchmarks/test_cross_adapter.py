"""Measure the cost of serving several adapters at once, and what merging one saves.

Run with ``pytest tests/benchmarks/test_cross_adapter.py --benchmark-enable``, on an idle machine
only. Compare the rows of a group with each other.

Measured on one AVX2 core that was shared with other work (2026-11-24, SmolLM2-135M, float32, rank
16 on q, k, v, o unless stated otherwise). Ratios of medians; "paired": of steps run in turn.

- Adding adapters to a decode step of 8 rows, relative to grouped rows: gathered by row 2.4 to 5.8,
  masked 1.05 (8 adapters) to 2.3 (2 adapters); to a prefill of 256 rows of 4 adapters: 81 and 6.9.
  So rows are grouped.
- A batch of 8 adapters / of 1, paired: 1.13 (quartiles 1.01 to 1.20); of 4 / of 1: 1.06.
- One hot adapter, merged / unmerged, paired: 0.92 at 1 row, 0.94 at 8; rank 64 on all seven
  projections: 0.79 and 0.85. Merged wins, but by little, since B·A is little work on a CPU. Stored
  in bfloat16: 0.95 at 1 row, 0.995 at 8.
- A token for each of 8 requests of 2, 4, 8 adapters, merged in turn / unmerged: 2.2, 4.7, 6.3.
  Unmerged wins.
- A switch takes about as long as an unmerged step at batch 1.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import AdapterWeights, Delta, load_adapter
from systems.engine.grouped_lora import GroupedLora, rows_of
from systems.engine.multi import MultiEngine
from systems.engine.requests import GenerationRequest
from systems.models import ensure_adapters
from tests.systems.engine.conftest import load_backbone, pack_all
from tests.torch_threads import torch_threads

THREADS = 1
NAMES = tuple(f"f{index}" for index in range(8))
BATCH = 8
PROMPT = tuple(range(100, 132))

Benchmark = Any


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    with torch_threads(THREADS):
        yield


class Made:
    """A model in float32, the dtype that dLoRA stores on the CPU, and eight adapters."""

    def __init__(self, model: Path) -> None:
        paths: dict[str, Path] = ensure_adapters(model, NAMES)
        self.layout, self.weights = load_backbone(model, "float32")
        self.adapters: dict[str, AdapterWeights] = {
            name: load_adapter(path, self.layout.config, "float32") for name, path in paths.items()
        }
        self.shape, self.packed = pack_all(paths, self.layout)

    def engine(self) -> MultiEngine:
        limits = {"max_batch_size": BATCH, "max_context_tokens": 512}
        engine = MultiEngine(self.layout.config, self.weights, self.shape, len(NAMES), **limits)
        for name, flat in self.packed.items():
            engine.hold(name, flat)
        return engine


@pytest.fixture(scope="module")
def made(backbone: Path) -> Made:
    return Made(backbone)


def started(engine: MultiEngine, names: int) -> MultiEngine:
    """Prefill a batch of requests that use the first ``names`` adapters in turn."""
    for number, name in enumerate(islice(cycle(NAMES[:names]), BATCH)):
        asked = GenerationRequest(number, PROMPT, 400, ignore_eos=True, adapter=name)
        engine.prefill([asked])
    return engine


# -- ways to add several adapters -----------------------------------------------------------------


class Stacked:
    """The two rejected methods. Stacks the matrices of all adapters: (adapters, ranks, in) and,
    block by block, (adapters, ranks, out)."""

    def __init__(self, deltas: list[Delta], out: int) -> None:
        self.a = torch.stack([delta.a for delta in deltas])
        self.b = torch.zeros(len(deltas), self.a.shape[1], out)
        for each, delta in zip(self.b, deltas, strict=True):
            for part in delta.parts:
                each[part.low : part.high, part.start : part.stop] = part.b

    def gathered(self, y: Tensor, x: Tensor, index: Tensor) -> Tensor:
        t = torch.bmm(x[:, None], self.a[index].transpose(1, 2))
        return y.add_(torch.bmm(t, self.b[index])[:, 0])

    def masked(self, y: Tensor, x: Tensor, index: Tensor) -> Tensor:
        count, ranks, inner = self.a.shape
        t = torch.mm(x, self.a.view(-1, inner).t()).view(-1, count, ranks)
        mine = torch.nn.functional.one_hot(index, count).to(t.dtype)
        return y.addmm_((t * mine[:, :, None]).view(len(x), -1), self.b.view(count * ranks, -1))


def ways(made: Made, rows: list[str]) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    deltas = [made.adapters[name].layers[0].qkv for name in NAMES]
    assert all(isinstance(delta, Delta) for delta in deltas)
    out = made.weights.layers[0].qkv.shape[0]
    kept: list[Delta] = [delta for delta in deltas if isinstance(delta, Delta)]
    stacked = Stacked(kept, out)
    index = torch.tensor([NAMES.index(name) for name in rows])
    by_name = dict(zip(NAMES, kept, strict=True))
    grouped = tuple((each, by_name[name]) for name, each in rows_of(rows, [1] * len(rows)).items())
    return {
        "grouped": GroupedLora(grouped).add_to,
        "gathered": lambda y, x: stacked.gathered(y, x, index),
        "masked": lambda y, x: stacked.masked(y, x, index),
    }


ROWS = {
    "decode, 8 adapters": list(NAMES),
    "decode, 2 adapters": [NAMES[n % 2] for n in range(BATCH)],
    "prefill, 4 adapters": [NAMES[n // 64] for n in range(256)],
}


@pytest.mark.parametrize("way", ["grouped", "gathered", "masked"])
@pytest.mark.parametrize("rows", ROWS)
def test_adding_adapters(rows: str, way: str, made: Made, benchmark: Benchmark) -> None:
    """Time one projection (q, k, v) of one layer."""
    benchmark.group = rows
    add = ways(made, ROWS[rows])
    x = torch.randn(len(ROWS[rows]), made.weights.layers[0].qkv.shape[1])
    y = torch.zeros(len(x), made.weights.layers[0].qkv.shape[0])
    wanted = add["grouped"](y.clone(), x)
    torch.testing.assert_close(add[way](y.clone(), x), wanted, rtol=1e-3, atol=1e-3)
    benchmark(add[way], y, x)


# -- dLoRA's claims -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["merged", "unmerged"])
@pytest.mark.parametrize("batch", [1, BATCH])
def test_a_step_of_one_hot_adapter(batch: int, mode: str, made: Made, benchmark: Benchmark) -> None:
    """Merged wins: no adapter is added to the products."""
    benchmark.group = f"a step for {batch} of one adapter"
    engine = started(made.engine(), 1)
    engine.merge(NAMES[0] if mode == "merged" else None)
    benchmark.pedantic(engine.decode, args=(range(batch),), rounds=30, warmup_rounds=2)
    engine.merge(None)


@pytest.mark.parametrize("batch", [1, BATCH])
def test_merged_and_unmerged_in_turn(
    batch: int, backbone: Path, made: Made, benchmark: Benchmark
) -> None:
    """Alternate steps of one hot adapter on two engines with private weights, so that other load on
    the machine affects both. ``merged_to_unmerged`` is the median of the ratios."""
    benchmark.group = f"pairs of steps for {batch} of one adapter"
    merged, unmerged = started(made.engine(), 1), started(Made(backbone).engine(), 1)
    merged.merge(NAMES[0])
    ratios: list[float] = []

    def pair() -> None:
        start = time.perf_counter()
        merged.decode(range(batch))
        between = time.perf_counter()
        unmerged.decode(range(batch))
        ratios.append((between - start) / (time.perf_counter() - between))

    benchmark.pedantic(pair, rounds=40, warmup_rounds=2)
    benchmark.extra_info["merged_to_unmerged"] = statistics.median(ratios)
    merged.merge(None)


@pytest.mark.parametrize("mode", ["merged", "unmerged"])
@pytest.mark.parametrize("adapters", [2, 4, 8])
def test_a_token_for_each_of_many_adapters(
    adapters: int, mode: str, made: Made, benchmark: Benchmark
) -> None:
    """Unmerged wins: one batch serves all; merged, each adapter needs a switch and its own step."""
    benchmark.group = f"a token for {BATCH} requests of {adapters} adapters"
    engine = started(made.engine(), adapters)

    def in_turn() -> None:
        for number in range(adapters):
            engine.merge(NAMES[number])
            engine.decode(range(number, BATCH, adapters))

    advance = in_turn if mode == "merged" else engine.decode
    benchmark.pedantic(advance, rounds=8, warmup_rounds=1)
    engine.merge(None)


def test_a_switch(made: Made, benchmark: Benchmark) -> None:
    """Time a switch: unmerge one adapter and merge another."""
    benchmark.group = "a switch"
    engine = made.engine()
    turns = cycle(NAMES[:2])
    benchmark.pedantic(lambda: engine.merge(next(turns)), rounds=8, warmup_rounds=1)
    engine.merge(None)
