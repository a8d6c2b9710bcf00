"""At the shapes of Llama-2-7B, in float16, with an adapter: the benchmarked engine is correct.

The reference is transformers' Llama in float32 with the same (rounded) weights and the adapter
merged into them. Two of the 32 layers suffice: they use every kernel shape, and the rounding errors
stay too small to hide a mistake.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import AdapterWeights
from systems.engine.cuda.buckets import LONGEST_PIECE
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import ONLY, AdapterSlot
from systems.engine.packed import SlotShape, pack, unpack
from systems.engine.pieces import Piece
from systems.engine.weights import BackboneWeights
from tests.benchmarks.cuda_engine import RANK, SEVEN_B, TARGETS, adapter, weights

CONFIG = SEVEN_B.model_copy(update={"num_layers": 2})
TOLERANCE = 0.02
"""As a share of the logits' standard deviation; float16 has three digits."""


def merged(fused: Tensor, layer: AdapterWeights, index: int, name: str) -> Tensor:
    """Return W + B·A in float32."""
    delta = getattr(layer.layers[index], name)
    full = fused.float()
    for part in delta.parts if delta else ():
        a, b = delta.a[part.low : part.high].cuda().float(), part.b.cuda().float()
        full[part.start : part.stop] += b.t() @ a
    return full


def reference(made: BackboneWeights, loaded: AdapterWeights) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=CONFIG.hidden_size,
        intermediate_size=CONFIG.intermediate_size,
        num_hidden_layers=CONFIG.num_layers,
        num_attention_heads=CONFIG.num_heads,
        num_key_value_heads=CONFIG.num_kv_heads,
        vocab_size=CONFIG.vocab_size,
        rms_norm_eps=CONFIG.rms_norm_eps,
    )
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).eval()
    state = {
        "model.embed_tokens.weight": made.embedding,
        "model.norm.weight": made.norm,
        "lm_head.weight": made.head,
    }
    for index, layer in enumerate(made.layers):
        at = f"model.layers.{index}."
        qkv = merged(layer.qkv, loaded, index, "qkv").split(
            [CONFIG.q_size, CONFIG.kv_size, CONFIG.kv_size]
        )
        gate, up = layer.gate_up.chunk(2)
        state |= {f"{at}self_attn.{x}_proj.weight": w for x, w in zip("qkv", qkv, strict=True)}
        state |= {
            f"{at}self_attn.o_proj.weight": merged(layer.o, loaded, index, "o"),
            f"{at}mlp.gate_proj.weight": gate,
            f"{at}mlp.up_proj.weight": up,
            f"{at}mlp.down_proj.weight": layer.down,
            f"{at}input_layernorm.weight": layer.input_norm,
            f"{at}post_attention_layernorm.weight": layer.post_norm,
        }
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def both() -> tuple[CudaEngine, torch.nn.Module]:
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    made = weights(CONFIG)
    shape = SlotShape.of(CONFIG, RANK, TARGETS, torch.float16)
    packed = pack(adapter(CONFIG), shape)
    slot = AdapterSlot(shape, "cuda")
    slot.put(packed)
    engine = CudaEngine(CONFIG, made, slot, max_batch_size=8, max_context_tokens=1024)
    return engine, reference(made, unpack(packed, shape))


def prompt(engine: CudaEngine, ids: list[int], slot: int) -> torch.Tensor:
    """Run a prompt in pieces; return the logits after it."""
    start, logits = 0, torch.empty(0)
    while start < len(ids):
        piece = Piece.of(slot, tuple(ids), start, LONGEST_PIECE)
        logits, start = engine._prompts.run([piece], [ONLY])[0][0].float().cpu(), piece.stop
    return logits


@pytest.mark.parametrize("length", [1, 100, 128, 512, 590])
@torch.inference_mode()
def test_logits_of_a_prompt_and_of_the_steps_after_it(
    both: tuple[CudaEngine, torch.nn.Module], length: int
) -> None:
    """Each step runs three times: a CUDA graph is run eagerly, then captured, then replayed."""
    engine, model = both
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
            assert apart < TOLERANCE, f"turn {turn}, token {step}: {apart:.4f} deviations off"


@torch.inference_mode()
def test_rows_of_a_batch_are_those_of_each_alone(both: tuple[CudaEngine, torch.nn.Module]) -> None:
    engine, model = both
    rows = [torch.randint(100, 30_000, (length,)).tolist() for length in (600, 30, 300, 599, 7)]
    for _ in range(3):
        for slot, ids in enumerate(rows):
            engine._slab.hold(slot + 1)
            prompt(engine, ids[:-1], slot)
        last = [ids[-1] for ids in rows]
        at = [len(ids) - 1 for ids in rows]
        logits = engine._run_step(last, at, [ONLY] * len(rows))[0].float()
        for found, ids in zip(logits, rows, strict=True):
            right = model(torch.tensor([ids], device="cuda")).logits[0, -1]
            assert float((found - right).abs().max() / right.std()) < TOLERANCE
