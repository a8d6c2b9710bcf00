"""At the shapes of published models, in half precision, with an adapter: the benchmarked engine is
correct.

The reference is transformers' model in float32 with the same (rounded) weights and the adapter
merged into them. Two layers suffice: they use every kernel shape, and the rounding errors stay too
small to hide a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import AdapterWeights
from systems.engine.config import ModelConfig
from systems.engine.cuda.buckets import LONGEST_PIECE
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import ONLY, AdapterSlot
from systems.engine.packed import SlotShape, pack, unpack
from systems.engine.pieces import Piece
from systems.engine.weights import BackboneWeights, LayerWeights
from systems.models.shapes import SHAPES
from tests.benchmarks.cuda_engine import RANK, TARGETS, adapter, weights

TOLERANCE = {torch.float16: 0.02, torch.bfloat16: 0.16}
"""As a share of the logits' standard deviation; float16 has three digits, bfloat16 two."""
CASES = {
    "llama2-7b": (torch.float16, {}),
    "llama3.1-8b": (torch.bfloat16, {}),
    "mistral-7b": (torch.bfloat16, {"sliding_window": 300}),
    "qwen2.5-7b": (torch.bfloat16, {}),
    "qwen3-8b": (torch.bfloat16, {}),
}


@dataclass(frozen=True)
class Both:
    """The engine and the reference of one shape."""

    engine: CudaEngine
    model: torch.nn.Module
    tolerance: float


def fields_of(case: str) -> dict[str, Any]:
    found = next(shape.fields for shape in SHAPES if shape.name == case)
    return {**found, "num_hidden_layers": 2, "dtype": "float32", **CASES[case][1]}


def merged(fused: Tensor, layer: AdapterWeights, index: int, name: str) -> Tensor:
    """Return W + B·A in float32."""
    delta = getattr(layer.layers[index], name)
    full = fused.float()
    for part in delta.parts if delta else ():
        a, b = delta.a[part.low : part.high].cuda().float(), part.b.cuda().float()
        full[part.start : part.stop] += b.t() @ a
    return full


def reference(
    fields: dict[str, Any], made: BackboneWeights, loaded: AdapterWeights
) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).float().eval()
    state = {
        "model.embed_tokens.weight": made.embedding,
        "model.norm.weight": made.norm,
        "lm_head.weight": made.head,
    }
    for index, layer in enumerate(made.layers):
        state |= _state(made.config, layer, loaded, index)
    model.load_state_dict(state)
    return model


def _state(
    config: ModelConfig, layer: LayerWeights, loaded: AdapterWeights, index: int
) -> dict[str, Tensor]:
    at, sizes = f"model.layers.{index}.", [config.q_size, config.kv_size, config.kv_size]
    gate, up = layer.gate_up.chunk(2)
    found = {
        f"{at}self_attn.o_proj.weight": merged(layer.o, loaded, index, "o"),
        f"{at}mlp.gate_proj.weight": gate,
        f"{at}mlp.up_proj.weight": up,
        f"{at}mlp.down_proj.weight": layer.down,
        f"{at}input_layernorm.weight": layer.input_norm,
        f"{at}post_attention_layernorm.weight": layer.post_norm,
    }
    qkv = merged(layer.qkv, loaded, index, "qkv").split(sizes)
    found |= {f"{at}self_attn.{x}_proj.weight": w for x, w in zip("qkv", qkv, strict=True)}
    if layer.qkv_bias is not None:
        biases = zip("qkv", layer.qkv_bias.split(sizes), strict=True)
        found |= {f"{at}self_attn.{x}_proj.bias": bias for x, bias in biases}
    if layer.qk_norm is not None:
        norms = zip("qk", layer.qk_norm, strict=True)
        found |= {f"{at}self_attn.{x}_norm.weight": norm for x, norm in norms}
    return found


@pytest.fixture(scope="module", params=CASES)
def both(request: pytest.FixtureRequest) -> Both:
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    fields, dtype = fields_of(request.param), CASES[request.param][0]
    config = ModelConfig.model_validate(fields)
    made = weights(config, dtype)
    for layer in made.layers:
        for each in (layer.qkv_bias, layer.qk_norm):
            if each is not None:
                each.add_(torch.randn_like(each) * 0.3)
    shape = SlotShape.of(config, RANK, TARGETS, dtype)
    packed = pack(adapter(config, dtype=dtype), shape)
    slot = AdapterSlot(shape, "cuda")
    slot.put(packed)
    engine = CudaEngine(config, made, slot, max_batch_size=8, max_context_tokens=1024)
    return Both(engine, reference(fields, made, unpack(packed, shape)), TOLERANCE[dtype])


def prompt(engine: CudaEngine, ids: list[int], slot: int) -> torch.Tensor:
    """Run a prompt in pieces; return the logits after it."""
    start, logits = 0, torch.empty(0)
    engine._slab.hold(slot + 1)
    while start < len(ids):
        piece = Piece.of(slot, tuple(ids), start, LONGEST_PIECE)
        pieces, shape = engine._prompts.choose([piece], [ONLY])
        outputs = engine._prompts.run(shape, pieces, [ONLY])
        logits, start = outputs[0][0].float().cpu(), piece.stop
    return logits


@pytest.mark.parametrize("length", [1, 100, 128, 512, 590])
@torch.inference_mode()
def test_logits_of_a_prompt_and_of_the_steps_after_it(both: Both, length: int) -> None:
    """Each step runs three times: a CUDA graph is run eagerly, then captured, then replayed."""
    engine, model = both.engine, both.model
    for turn in range(3):
        ids = torch.randint(100, 30_000, (length + 3,)).tolist()
        wanted = model(torch.tensor([ids], device="cuda")).logits[0].cpu()
        found = [prompt(engine, ids[:length], slot=0)]
        for step in range(3):
            at = length + step
            found.append(engine._run_step([ids[at]], [at], [ONLY])[0][0].float().cpu())
        for step, logits in enumerate(found):
            right = wanted[length - 1 + step]
            apart = float((logits - right).abs().max() / right.std())
            assert apart < both.tolerance, f"turn {turn}, token {step}: {apart:.4f} deviations off"


@torch.inference_mode()
def test_rows_of_a_batch_are_those_of_each_alone(both: Both) -> None:
    engine, model = both.engine, both.model
    rows = [torch.randint(100, 30_000, (length,)).tolist() for length in (600, 30, 300, 599, 7)]
    for _ in range(3):
        for slot, ids in enumerate(rows):
            prompt(engine, ids[:-1], slot)
        last = [ids[-1] for ids in rows]
        at = [len(ids) - 1 for ids in rows]
        logits = engine._run_step(last, at, [ONLY] * len(rows))[0].float()
        for found, ids in zip(logits, rows, strict=True):
            right = model(torch.tensor([ids], device="cuda")).logits[0, -1]
            assert float((found - right).abs().max() / right.std()) < both.tolerance
