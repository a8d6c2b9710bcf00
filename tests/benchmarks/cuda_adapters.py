"""Time what adapters add to a pass on a card, by their number and rank:

    python -m tests.benchmarks.cuda_adapters [RESULT.json]

Llama-2-7B's shapes with random weights, of which 8 of 32 layers are built; times are scaled to 32
layers (less the head, measured in the same way with 4 layers). ``torch``: the reference
formulation, gathered matrices and batched products; ``kernel``: Triton. Medians of 20 calls (ms).
Decode steps are graphs at a context of about 500 tokens.
"""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from systems.engine.config import ModelConfig
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.ops import Adapter, LoraPlaces, TorchOps
from systems.engine.cuda.table import AdapterTable
from systems.engine.cuda.triton_ops import TritonOps
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights

from .cuda_engine import RANK, SEVEN_B, TARGETS, adapter, median_ms, prefill_ms, request, weights

LAYERS, BUILT = SEVEN_B.num_layers, 8
CONFIG = SEVEN_B.model_copy(update={"num_layers": BUILT})
PLACES, ROWS, CONTEXT = 64, (1, 8, 32), 500
RANKS = {"16": (16,), "64": (64,), "8 to 64": (8, 16, 32, 64)}
PROMPTS = {"1 x 512": [512], "8 x 128": [128] * 8}


class Gathered(TritonOps):
    """All kernels but those of adapters."""

    def add_lora(
        self, y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int = 0
    ) -> Tensor:
        return TorchOps.add_lora(self, y, x, lora, numbers, single)

    def row_product(
        self,
        x: Tensor,
        weight: Tensor,
        *,
        norm: Tensor | None = None,
        eps: float = 0.0,
        adapter: Adapter | None = None,
        gate: bool = False,
        onto: Tensor | None = None,
    ) -> Tensor:
        if adapter is None:
            return super().row_product(x, weight, norm=norm, eps=eps, gate=gate, onto=onto)
        y = super().row_product(x, weight, norm=norm, eps=eps)
        self.add_lora(y, x if norm is None else self.norm(x, norm, eps), *adapter)
        return y if onto is None else onto.add_(y)


OPS = {"torch": Gathered, "kernel": TritonOps}


class InTurn(AdapterTable):
    """Gives sequences the first ``used`` adapters in turn, whatever their names; 0: none."""

    used = 0

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        return [1 + row % self.used if self.used else 0 for row in range(len(names))]


def table(config: ModelConfig, ranks: Sequence[int]) -> InTurn:
    shape = SlotShape.of(config, max(ranks), TARGETS, torch.float16)
    made = InTurn(shape, PLACES, "cuda")
    for place in range(PLACES):
        stored = adapter(config, ranks[place % len(ranks)], "cuda")
        made.hold(f"{place}", pack(stored, shape, torch.empty_like(made._memory.place(1))))
    return made


def engine(
    made: BackboneWeights, held: InTurn | None, ops: TorchOps, layers: int = BUILT
) -> CudaEngine:
    config = made.config.model_copy(update={"num_layers": layers})
    made = replace(made, config=config, layers=made.layers[:layers])
    limits = {"max_batch_size": ROWS[-1], "max_context_tokens": 1024}
    found = CudaEngine(config, made, held, ops=ops, **limits)
    while found.prepare():  # prompts come together only where that is prepared
        pass
    return found


def steps_ms(running: CudaEngine, held: InTurn | None, used: Sequence[int]) -> dict[str, float]:
    """Measure a decode step for each number of rows and adapters in use."""
    for number in range(ROWS[-1]):
        running.prefill([request(number, CONTEXT)])
    found = {}
    for rows in ROWS:
        only = range(rows)
        for count in used:
            if held is not None:
                held.used = count
            for _ in range(3):
                running.decode(only)
            found[f"{rows} rows, {count} adapters"] = median_ms(lambda: running.decode(only))  # noqa: B023
    for number in range(ROWS[-1]):
        running.cancel(number)
    return found


def holding_ms() -> dict[str, float]:
    """Measure the copy of a packed adapter of rank 16 with all layers to a place."""
    shape = SlotShape.of(SEVEN_B, RANK, TARGETS, torch.float16)
    held = AdapterTable(shape, 1, "cuda")
    packed = pack(adapter(SEVEN_B), shape)
    mapped = torch.frombuffer(mmap.mmap(-1, shape.nbytes), dtype=torch.uint8).copy_(packed)
    place = held._memory.place(1)

    def hold(flat: Tensor) -> None:
        held.hold("f", flat)
        held.clear(held.places.leave("f"))

    pinned = packed.pin_memory()
    return {
        f"hold {shape.nbytes >> 20} MiB, mapped, by the driver": median_ms(
            lambda: place.copy_(mapped)
        ),
        "hold, mapped, staged": median_ms(lambda: hold(mapped)),
        "hold, page-locked": median_ms(lambda: hold(pinned)),
    }


def scaled(found: dict[str, float], fewer: dict[str, float]) -> dict[str, float]:
    """Extrapolate from ``BUILT`` layers and half of them to ``LAYERS``."""
    half = BUILT // 2
    return {
        name: ms + (ms - fewer[name]) * (LAYERS - BUILT) / (BUILT - half)
        for name, ms in found.items()
    }


def main() -> None:
    torch.manual_seed(0)
    made = weights(CONFIG)
    results: dict[str, dict[str, float]] = {"holding": holding_ms()}
    bare = (steps_ms(engine(made, None, TritonOps(), n), None, [0]) for n in (BUILT, BUILT // 2))
    results["backbone alone"] = scaled(*bare)
    for name, ranks in RANKS.items():
        held = table(CONFIG, ranks)
        for kind, ops in OPS.items():
            found = []
            for layers in (BUILT, BUILT // 2):
                running = engine(made, held, ops(), layers)
                measured = steps_ms(running, held, [1, 8, PLACES])
                held.used = 8
                for prompts, lengths in PROMPTS.items():
                    measured[f"prefill {prompts}"] = prefill_ms(running, lengths, 8)
                found.append(measured)
            results[f"rank {name}, {kind}"] = scaled(*found)
        del held, running
        torch.cuda.empty_cache()
    for title, rows in results.items():
        print(title)
        for row, ms in rows.items():
            print(f"    {row:40} {ms:8.2f} ms")
    if len(sys.argv) > 1:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        document = {**about, "ms": results}
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
