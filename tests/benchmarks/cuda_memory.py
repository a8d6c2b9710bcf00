"""What the shapes of an engine take of a card's memory, and how long their preparation takes:

    python -m tests.benchmarks.cuda_memory [BATCH …]

Llama-2-7B's shapes with random weights, a process for each number of requests at a time (32, 64 and
128): of one function, or of eight from 64 requests on. The driver counts graphs and kernels too;
torch's memory, for the tensors of passes and steps, is part of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import groupby
from typing import Any

import torch

from systems.engine.cuda import context
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.prompts import PromptShape
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.cuda.table import AdapterTable
from systems.engine.packed import SlotShape

from .cuda_engine import RANK, SEVEN_B, TARGETS, weights

SIZES = (32, 64, 128)
SHARED, FUNCTIONS = 64, 8  # requests at a time from which on an engine is of several functions
MIB = 1 << 20


def engine(batch: int) -> CudaEngine:
    shape = SlotShape.of(SEVEN_B, RANK, TARGETS, torch.float16)
    limits = {"max_batch_size": batch, "max_context_tokens": 512, "piece_tokens": 512}
    made = weights(SEVEN_B)
    if batch < SHARED:
        return CudaEngine(SEVEN_B, made, AdapterSlot(shape, "cuda"), **limits)
    return CudaCrossEngine(SEVEN_B, made, AdapterTable(shape, FUNCTIONS, "cuda"), **limits)


def kind(prepare: Any) -> str:
    """Return what a call of preparation prepares."""
    shape = prepare.args[0]
    if not isinstance(shape, PromptShape):
        return "steps"
    return "mixed passes" if shape.rows else "later pieces" if shape.context else "prompts"


def held() -> tuple[float, float]:
    """Return MiB of the card in use by the driver, and torch's part of it."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # memory of shapes that ran before they were captured
    free, total = torch.cuda.mem_get_info()
    return (total - free) / MIB, torch.cuda.memory_reserved() / MIB


def measure(batch: int) -> None:
    before = held()
    made = engine(batch)
    after, began = held(), time.perf_counter()
    print(
        f"{batch} requests: context {before[0]:.0f} MiB; engine {made.unprepared} calls to prepare"
    )
    for name, calls in groupby([kind(each) for each in made._unprepared]):
        then, count = held(), len(list(calls))
        for _ in range(count):
            made.prepare()
        driver, torchs = (now - was for now, was in zip(held(), then, strict=True))
        print(f"  {name:14} {count // 2:3} graphs: {driver:6.0f} MiB, {torchs:6.0f} of torch's")
    took, now = time.perf_counter() - began, held()
    print(f"  all {made.graphs} graphs: {now[0] - after[0]:.0f} MiB in {took:.2f} s")


def main() -> None:
    if len(sys.argv) == 2:
        os.environ.update(context.ENVIRONMENT)
        context.start()
        measure(int(sys.argv[1]))
        return
    for batch in sys.argv[1:] or map(str, SIZES):
        subprocess.run([sys.executable, "-m", __spec__.name, batch], check=True)


if __name__ == "__main__":
    main()
