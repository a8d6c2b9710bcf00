"""Time passes over prompts, decode steps, and mixed passes in place of both, on a card:

    python -m tests.benchmarks.cuda_mixed [RESULT.json]

Llama-2-7B's shapes with random weights and four adapters of rank 16; running requests have about
150 cached tokens. Medians of 7 engine calls (ms), from token ids to token ids.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.packed import SlotShape, pack
from systems.engine.requests import GenerationRequest

from .cuda_engine import RANK, SEVEN_B, TARGETS, adapter, median_ms, request, weights

ADAPTERS, REPEATS = 4, 7
ROWS = (8, 16, 32, 64, 120)
PROMPTS = {1: (50,), 2: (100,), 3: (150,), 4: (100, 100), 6: (150, 150), 8: (250, 200)}
"""By their tiles of 64 tokens."""


def engine() -> CudaCrossEngine:
    shape = SlotShape.of(SEVEN_B, RANK, TARGETS, torch.float16)
    limits = {"max_batch_size": 128, "max_context_tokens": 512, "piece_tokens": 512}
    table = AdapterTable(shape, ADAPTERS, "cuda")
    made = CudaCrossEngine(SEVEN_B, weights(SEVEN_B), table, **limits)
    for place in range(ADAPTERS):
        made.hold(f"{place}", pack(adapter(SEVEN_B), shape))
    while made.prepare():
        pass
    return made


def requests(first: int, lengths: tuple[int, ...]) -> list[GenerationRequest]:
    made = [request(first + n, length) for n, length in enumerate(lengths)]
    return [replace(each, adapter=f"{each.request_id % ADAPTERS}") for each in made]


def measured(made: CudaCrossEngine, running: int, lengths: tuple[int, ...]) -> dict[str, float]:
    """Run the prompts beside the running requests, apart and in one pass, in turn."""
    only = range(running)
    found: dict[str, list[float]] = {"pass": [], "step": [], "mixed": []}
    calls: dict[str, Callable[[], Any]] = {
        "pass": lambda: made.advance(whole=True),
        "step": lambda: made.decode(only),
        "mixed": lambda: made.mix(only),
    }
    for _ in range(REPEATS):
        for kinds in (("pass", "step"), ("mixed",)):
            joining = requests(running, lengths)
            made.begin(joining)
            for kind in kinds:
                found[kind].append(median_ms(calls[kind], 1))
            assert not made.prefilling
            for each in joining:
                made.cancel(each.request_id)
    times = {kind: statistics.median(each) for kind, each in found.items()}
    apart = times["pass"] + times["step"]
    return {**times, "apart": apart, "saved": apart - times["mixed"]}


def main() -> None:
    torch.manual_seed(0)
    made = engine()
    found: dict[int, dict[int, dict[str, float]]] = {tiles: {} for tiles in PROMPTS}
    for running in ROWS:
        made.prefill(requests(0, (120,) * running))
        for tiles, lengths in PROMPTS.items():
            times = found[tiles][running] = measured(made, running, lengths)
            shown = "  ".join(f"{name} {value:6.2f}" for name, value in times.items())
            print(f"{running:4} running, {tiles} tiles: {shown}")
        for number in range(running):
            made.cancel(number)
    if len(sys.argv) > 1:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        text = json.dumps({**about, "by_tiles": found}, indent=1)
        Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
