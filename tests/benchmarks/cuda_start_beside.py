"""Measure the start of an instance while others use the card: processes are time-sliced, and a
start has many small kernel launches, each of which may wait for a time slice.

    python -m tests.benchmarks.cuda_start_beside RESULT.json

M = 0 … 3 processes decode eight requests each, at the shapes of Llama-2-7B, while another process
is forked, prepares itself like an instance, runs prompts, and loads an adapter into its slot, as a
prewarmed process that becomes an instance. RESULT.json has its stages for each M and the step times
of the others meanwhile.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from systems.engine.adapter_files import stamps_of
from systems.engine.cuda import context
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime import process
from systems.serverless.live import device_backend as placing

MOST, BATCH, PROMPTS, LOADS = 3, 8, 10, 5
LIMITS = {"max_batch_size": 8, "max_context_tokens": 512}
SETTLES_S = 1.0


@dataclass(frozen=True)
class Files:
    model: Path
    adapter: Path


def _engine(files: Files, marks: dict[str, int]) -> tuple[Any, Any]:
    """Make an engine as an instance does, with zero weights: times do not depend on them. Return it
    and its adapter as it is stored."""
    import torch

    from systems.engine.checkpoint import plan_layout
    from systems.engine.cuda.engine import CudaEngine
    from systems.engine.cuda.slot import AdapterSlot
    from systems.engine.packed import SlotShape
    from systems.engine.weights import BackboneWeights

    placing.start_cuda()
    layout = plan_layout(files.model, "float16")
    stored = placing.BACKENDS["cuda"].adapter(files.adapter, layout, stamps_of(files.adapter))
    marks["context"] = time.monotonic_ns()
    flat = torch.zeros(layout.nbytes, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    marks["weights"] = time.monotonic_ns()
    shape = SlotShape.of(layout.config, stored.rank, stored.targets, torch.float16)
    slot = AdapterSlot(shape, "cuda")
    slot.load(stored)
    weights = BackboneWeights.from_flat(layout, flat)
    engine = CudaEngine(layout.config, weights, slot, **LIMITS)
    engine.prepare()
    marks["kernels"] = time.monotonic_ns()
    while engine.prepare():
        pass
    marks["rest"] = time.monotonic_ns()
    return engine, stored


def busy(files: Files, pipe: Connection) -> None:
    """Decode until stopped; then send the start and the duration of each step."""
    from .cuda_engine import request

    engine, _ = _engine(files, {})
    pipe.send("ready")
    steps = []
    while not pipe.poll():
        engine.prefill([request(number, 64) for number in range(BATCH)])
        for _ in range(128):
            began = time.monotonic_ns()
            engine.decode()
            steps.append((began, time.monotonic_ns() - began))
        for number in range(BATCH):
            engine.cancel(number)
    pipe.send(steps)


def starting(files: Files, pipe: Connection) -> None:
    """Run a new instance; send its marks, and the times (ms) of prompts of 64 and 256 tokens and of
    loading an adapter."""
    from .cuda_engine import request

    marks = {"fork": time.monotonic_ns()}
    engine, stored = _engine(files, marks)
    prompts: dict[int, list[float]] = {64: [], 256: []}
    for tokens, found in prompts.items():
        for _ in range(PROMPTS):
            began = time.monotonic_ns()
            engine.prefill([request(0, tokens)])
            found.append((time.monotonic_ns() - began) / 1e6)
            engine.cancel(0)
    medians = {tokens: statistics.median(found) for tokens, found in prompts.items()}
    pipe.send((marks, medians, statistics.median(_load(engine, stored) for _ in range(LOADS))))


def _load(engine: Any, stored: Any) -> float:
    """Return the time (ms) of loading an adapter into the engine's slot."""
    import torch

    began = time.monotonic_ns()
    engine.slot.load(stored)
    torch.cuda.synchronize()
    return (time.monotonic_ns() - began) / 1e6


def measure(files: Files) -> list[dict[str, Any]]:
    fork = multiprocessing.get_context("fork")

    def begun(target: Any) -> Connection:
        ours, theirs = fork.Pipe()
        fork.Process(target=target, args=(files, theirs), daemon=True).start()
        return ours

    others: list[Connection] = []
    found = []
    for count in range(MOST + 1):
        if count:
            others.append(begun(busy))
            assert others[-1].recv() == "ready"
        time.sleep(SETTLES_S)
        marks, prompts, adapter_ms = begun(starting).recv()
        found.append((count, time.monotonic_ns(), marks, prompts, adapter_ms))
    for other in others:
        other.send("stop")
    steps = [other.recv() for other in others]
    return [_row(*each, steps) for each in found]


def _row(
    count: int, ended_ns: int, marks: dict[str, int], prompts: dict[int, float],
    adapter_ms: float, steps: list[list[tuple[int, int]]],
) -> dict[str, Any]:  # fmt: skip
    names = ("fork", "context", "weights", "kernels", "rest")
    row: dict[str, Any] = {"beside": count}
    for before, name in pairwise(names):
        row[f"{name}_ms"] = (marks[name] - marks[before]) / 1e6
    row["prompt_ms"], row["adapter_ms"] = prompts, adapter_ms
    windows = {
        "before": (marks["fork"] - int(SETTLES_S * 1e9), marks["fork"]),
        "kernels": (marks["weights"], marks["kernels"]),
        "rest": (marks["kernels"], marks["rest"]),
        "prompts": (marks["rest"], ended_ns),
    }
    for name, (start, end) in windows.items():
        inside = [took / 1e6 for each in steps[:count] for at, took in each if start <= at < end]
        row[f"others_step_{name}_ms"] = statistics.mean(inside) if inside else None
    return row


def main() -> None:
    model = ensure_backbone("llama2-7b")
    files = Files(model, ensure_adapters(model, ("f0",), rank=16)["f0"])
    os.environ.update(context.ENVIRONMENT)
    process.import_libraries("cuda")
    rows = measure(files)
    for row in rows:
        print(json.dumps(row), flush=True)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
