"""Time the engine on a card, at Llama-2-7B shapes with random weights and an adapter of rank 16:

    python -m tests.benchmarks.cuda_engine [RESULT.json]

Reports the median wall time (ms) of 20 engine calls after warm-up, from token ids to token ids.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from systems.engine.adapter import StoredAdapter, StoredPair
from systems.engine.config import ModelConfig
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.packed import SlotShape, pack
from systems.engine.projections import target_shapes
from systems.engine.requests import GenerationRequest
from systems.engine.weights import BackboneWeights, LayerWeights

RANK, TARGETS = 16, ("q_proj", "k_proj", "v_proj", "o_proj")
SEVEN_B = ModelConfig.model_validate(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "vocab_size": 32000,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 4096,
    }
)


def weights(config: ModelConfig) -> BackboneWeights:
    """Make random float16 weights on the card."""

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float16, device="cuda").mul_(0.02)

    def norm() -> torch.Tensor:
        return torch.ones(config.hidden_size, dtype=torch.float16, device="cuda")

    hidden, inner = config.hidden_size, config.intermediate_size
    layers = tuple(
        LayerWeights(
            norm(),
            matrix(config.q_size + 2 * config.kv_size, hidden),
            matrix(hidden, config.q_size),
            norm(),
            matrix(2 * inner, hidden),
            matrix(hidden, inner),
        )
        for _ in range(config.num_layers)
    )
    head = matrix(config.vocab_size, hidden)
    return BackboneWeights(
        config, torch.float16, matrix(config.vocab_size, hidden), layers, norm(), head
    )


def adapter(config: ModelConfig, rank: int = RANK, device: str = "cpu") -> StoredAdapter:
    """Make a random float16 adapter on ``TARGETS``."""

    def half(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float16, device=device).mul_(0.02)

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
    torch.manual_seed(0)
    free = torch.cuda.mem_get_info()[0]
    config = SEVEN_B
    shape = SlotShape.of(config, RANK, TARGETS, torch.float16)
    slot = AdapterSlot(shape, "cuda")
    packed = [pack(adapter(config), shape).pin_memory() for _ in range(2)]
    slot.put(packed[0])
    made = weights(config)
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
    if len(sys.argv) > 1:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        document = {**about, "ms": rows, "bytes": memory}
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
