"""Time the engine on a card, with random weights and an adapter of rank 16:

    python -m tests.benchmarks.cuda_engine [RESULT.json] [--shape llama2-7b] [--dtype float16]

Reports the median wall time (ms) of 20 engine calls after warm-up, from token ids to token ids.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from systems.engine.adapter import StoredAdapter, StoredPair
from systems.engine.config import ModelConfig
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.dtypes import torch_dtype
from systems.engine.packed import SlotShape, pack
from systems.engine.projections import target_shapes
from systems.engine.requests import GenerationRequest
from systems.engine.weights import BackboneWeights, LayerWeights
from systems.models.shapes import SHAPES

RANK, TARGETS = 16, ("q_proj", "k_proj", "v_proj", "o_proj")


def shape_of(preset: str) -> ModelConfig:
    """Return the shape of a preset with random weights."""
    fields = next(shape.fields for shape in SHAPES if shape.name == preset)
    return ModelConfig.model_validate(fields)


SEVEN_B = shape_of("llama2-7b")


def weights(config: ModelConfig, dtype: torch.dtype = torch.float16) -> BackboneWeights:
    """Make random weights on the card."""

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, device="cuda").mul_(0.02)

    def norm(*shape: int) -> torch.Tensor:
        return torch.ones(*shape, dtype=dtype, device="cuda")

    def layer() -> LayerWeights:
        fused = config.q_size + 2 * config.kv_size
        return LayerWeights(
            norm(hidden),
            matrix(fused, hidden),
            matrix(hidden, config.q_size),
            norm(hidden),
            matrix(2 * inner, hidden),
            matrix(hidden, inner),
            matrix(fused) if config.architecture.qkv_bias else None,
            norm(2, config.head_dim) if config.architecture.qk_norm else None,
        )

    hidden, inner = config.hidden_size, config.intermediate_size
    layers = tuple(layer() for _ in range(config.num_layers))
    embedding, head = matrix(config.vocab_size, hidden), matrix(config.vocab_size, hidden)
    return BackboneWeights(config, dtype, embedding, layers, norm(hidden), head)


def adapter(
    config: ModelConfig,
    rank: int = RANK,
    device: str = "cpu",
    dtype: torch.dtype = torch.float16,
) -> StoredAdapter:
    """Make a random adapter on ``TARGETS``."""

    def half(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, device=device).mul_(0.02)

    pairs = {}
    for layer in range(config.num_layers):
        for target in TARGETS:
            out, inner = target_shapes(config)[target]
            pairs[layer, target] = StoredPair(half(rank, inner), half(out, rank), 1.0)
    return StoredAdapter(f"rank {rank}", pairs)


def request(number: int, prompt: int, tokens: int = 400) -> GenerationRequest:
    ids = torch.randint(100, 30000, (prompt,)).tolist()
    return GenerationRequest(number, tuple(ids), tokens, ignore_eos=True)


def median_ms(call: Callable[[], Any], repeats: int = 20) -> float:
    found = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - start) * 1e3)
    return statistics.median(found)


def prefill_ms(engine: CudaEngine, prompts: list[int], repeats: int = 20) -> float:
    requests = [request(number, prompt) for number, prompt in enumerate(prompts)]

    def once() -> None:
        engine.prefill(requests)

    found = []
    for _ in range(repeats + 2):
        found.append(median_ms(once, 1))
        for each in requests:
            engine.cancel(each.request_id)
    return statistics.median(found[2:])


def tpot_ms(engine: CudaEngine, batch: int, prompt: int = 590) -> float:
    for number in range(batch):
        engine.prefill([request(number, prompt)])
    for _ in range(3):
        engine.decode()
    found = median_ms(engine.decode)
    for number in range(batch):
        engine.cancel(number)
    return found


def main() -> None:
    asked = _asked()
    torch.manual_seed(0)
    free = torch.cuda.mem_get_info()[0]
    config, dtype = shape_of(asked.shape), torch_dtype(asked.dtype)
    shape = SlotShape.of(config, RANK, TARGETS, dtype)
    slot = AdapterSlot(shape, "cuda")
    packed = [pack(adapter(config, dtype=dtype), shape).pin_memory() for _ in range(2)]
    slot.put(packed[0])
    made = weights(config, dtype)
    engine = CudaEngine(config, made, slot, max_batch_size=32, max_context_tokens=1024)
    start = time.perf_counter()
    while engine.prepare():
        pass
    warm_s = time.perf_counter() - start
    rows = {
        "adapter switch": median_ms(lambda: (slot.put(packed[1]), slot.put(packed[0]))) / 2,
        "prefill 1 x 128": prefill_ms(engine, [128]),
        "prefill 1 x 512": prefill_ms(engine, [512]),
        "prefill 8 x 512": prefill_ms(engine, [512] * 8),
        **{f"decode, batch {batch}, context ~600": tpot_ms(engine, batch) for batch in (1, 8, 32)},
        f"preparing {engine.graphs} graphs": warm_s * 1e3,
    }
    memory = {
        "adapter slot": slot.nbytes,
        "kv slab": engine.reserved_bytes,
        "all of the process": free - torch.cuda.mem_get_info()[0],
    }
    for name, value in rows.items():
        print(f"{name:32} {value:9.2f} ms")
    for name, value in memory.items():
        print(f"{name:32} {value / 2**20:9.0f} MiB")
    if asked.result is not None:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        document = {**about, "shape": asked.shape, "dtype": asked.dtype, "ms": rows}
        text = json.dumps({**document, "bytes": memory}, indent=1)
        asked.result.write_text(text, encoding="utf-8")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", nargs="?", type=Path)
    parser.add_argument("--shape", default="llama2-7b")
    parser.add_argument("--dtype", default="float16", choices=("float16", "bfloat16"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
