"""The batch law T_eff = M·T (paper, Eq. 4) on a card: M processes that prefill at once.

    python -m tests.benchmarks.cuda_contention RESULT.json

M engines in M processes, each with a small backbone of its own at the width of Llama-2-7B (eight of
its layers), prefill 512 tokens again and again for a while; the median time of one prefill, by M.
Whether processes take turns or run side by side (MPS) is the driver's setting, which is named.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue

SIDE_BY_SIDE = (1, 2, 4)
LAYERS, PROMPT, SECONDS = 8, 512, 2.0


def prefills(barrier: Barrier, answers: Queue[list[float]]) -> None:
    """In a process of its own: the time of each prefill, in ms."""
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
    """Times of the prefills of ``count`` processes, ms."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    running = [context.Process(target=prefills, args=(barrier, answers)) for _ in range(count)]
    for each in running:
        each.start()
    found = [ms for _ in running for ms in answers.get(timeout=120)]
    for each in running:
        each.join()
    return found


def main() -> None:
    rows = {}
    for count in SIDE_BY_SIDE:
        found = at_once(count)
        rows[count] = {"median_ms": statistics.median(found), "prefills": len(found)}
        print(f"M = {count}: {rows[count]}", flush=True)
    mps = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")).exists()
    document = {"layers": LAYERS, "prompt_tokens": PROMPT, "mps": mps, "by_m": rows}
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
