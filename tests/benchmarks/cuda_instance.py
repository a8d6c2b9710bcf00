"""Measure the steps of an instance, forked from the template, before its first token on a card, and
the device memory after each; at the shapes of Llama-2-7B:

    python -m tests.benchmarks.cuda_instance

The first fork on a machine compiles kernels; the second finds them on disk.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

from systems.engine.adapter_files import stamps_of
from systems.engine.cuda import context
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime import process
from systems.serverless.live import device_backend as placing

FORKS = 2
LIMITS = {"max_batch_size": 4, "max_context_tokens": 1024}


class Marks:
    """Prints the time since the last mark and since the start (ms), and the device memory used."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()

    def mark(self, what: str) -> None:
        import torch

        torch.cuda.synchronize()
        now, (free, total) = time.perf_counter(), torch.cuda.mem_get_info()
        apart, since = (round(1e3 * (now - then), 1) for then in (self._last, self._start))
        print(f"{what:32} {apart:8} ms, {since:8} since the fork, {(total - free) >> 20} MiB used")
        self._last = now


def instance(model: Path, adapter: Path) -> None:
    import torch

    from systems.engine.checkpoint import plan_layout
    from systems.engine.cuda.engine import CudaEngine
    from systems.engine.cuda.slot import AdapterSlot
    from systems.engine.packed import SlotShape
    from systems.engine.weights import BackboneWeights

    marks = Marks()
    placing.start_cuda()
    layout = plan_layout(model, "float16")
    stored = placing.BACKENDS["cuda"].adapter(adapter, layout, stamps_of(adapter))
    marks.mark("context, adapter read beside it")
    flat = torch.empty(layout.nbytes, dtype=torch.uint8, device="cuda")
    weights = BackboneWeights.from_flat(layout, flat)
    marks.mark("memory for the weights")
    shape = SlotShape.of(layout.config, stored.rank, stored.targets, torch.float16)
    slot = AdapterSlot(shape, "cuda")
    slot.load(stored)
    marks.mark("adapter to its slot")
    engine = CudaEngine(layout.config, weights, slot, **LIMITS)
    marks.mark(f"engine, slab of {engine.reserved_bytes >> 20} MiB")
    engine.prepare()
    marks.mark("first short prompt")
    while engine.prepare():
        pass
    marks.mark(f"all else prepared, {engine.graphs} graphs")
    again = placing.BACKENDS["cuda"].adapter(adapter, layout, stamps_of(adapter))
    marks.mark("another adapter read")
    assert placing.BACKENDS["cuda"].adapt(engine, again)
    marks.mark("and in the first one's place")
    del engine, slot
    gc.collect()
    placing.BACKENDS["cuda"].give_back()
    marks.mark("engine and adapter given up")
    sys.stdout.flush()


def main() -> None:
    model = ensure_backbone("llama2-7b")
    adapter = ensure_adapters(model, ("f0",), rank=16)["f0"]
    os.environ.update(context.ENVIRONMENT)
    process.import_libraries("cuda")
    for number in range(FORKS):
        print(f"fork {number + 1} of {FORKS}", flush=True)
        pid = os.fork()
        if pid == 0:
            try:
                instance(model, adapter)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
