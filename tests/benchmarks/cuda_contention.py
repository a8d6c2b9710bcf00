"""Measure the batch latency T_eff = M·T (paper, Eq. 4) on a GPU: M processes prefill at once.

    python -m tests.benchmarks.cuda_contention RESULT.json [--mps]

M engines in M processes prefill 512 tokens repeatedly for a while, each with a private backbone of
eight layers at the width of Llama-2-7B. The result is the median time of one prefill for each M. By
default, the card time-slices the processes. With --mps the program measures again under a CUDA MPS
daemon that it starts, and RESULT.json has both results.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any

from systems.serverless.live import mps

SIDE_BY_SIDE = (1, 2, 4)
LAYERS, PROMPT, SECONDS = 8, 512, 2.0


def prefills(barrier: Barrier, answers: Queue[list[float]]) -> None:
    """Run in a separate process; return the time of each prefill (ms)."""
    import torch

    from systems.engine.cuda.engine import CudaEngine

    from .cuda_engine import SEVEN_B, request, weights

    config = SEVEN_B.model_copy(update={"num_layers": LAYERS})
    engine = CudaEngine(config, weights(config), None, max_batch_size=1, max_context_tokens=1024)
    while engine.prepare():
        pass
    found = []
    torch.cuda.synchronize()
    barrier.wait()
    until = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < until:
        engine.prefill([request(0, PROMPT)])
        torch.cuda.synchronize()
        found.append((time.perf_counter() - start) * 1e3)
        engine.cancel(0)
    answers.put(found)


def at_once(count: int) -> list[float]:
    """Run ``count`` processes at once; return the times of their prefills (ms)."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    running = [context.Process(target=prefills, args=(barrier, answers)) for _ in range(count)]
    for each in running:
        each.start()
    found = [ms for _ in running for ms in answers.get(timeout=120)]
    for each in running:
        each.join()
    return found


def by_count() -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for count in SIDE_BY_SIDE:
        found = at_once(count)
        rows[count] = {"median_ms": statistics.median(found), "prefills": len(found)}
        print(f"M = {count}: {rows[count]}", flush=True)
    return rows


def by_count_under_mps() -> dict[int, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="mps-") as folder, mps.running(Path(folder)) as found:
        os.environ |= found
        try:
            return by_count()
        finally:
            for name in found:
                del os.environ[name]


def main() -> None:
    arguments = [each for each in sys.argv[1:] if each != "--mps"]
    document: dict[str, Any] = {
        "layers": LAYERS,
        "prompt_tokens": PROMPT,
        "mps": False,
        "by_m": by_count(),
    }
    if "--mps" in sys.argv:
        print("under MPS")
        document["under_mps"] = {"mps": True, "by_m": by_count_under_mps()}
    if arguments:
        Path(arguments[0]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
