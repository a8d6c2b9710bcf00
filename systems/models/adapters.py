"""Seeded LoRA adapters, made with peft and kept in its format."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cache import cache_root, made

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")

_STRENGTH = 0.27
"""Size of an adapter's change beside the matrix it changes (Frobenius norms). Chosen so that
greedy answers differ from the backbone's and from each other; a test says that they do."""


def ensure_adapters(
    backbone: Path,
    names: Sequence[str],
    *,
    rank: int = 16,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> dict[str, Path]:
    """A peft directory for each name, all different, made if need be. The same backbone shapes,
    name, rank, targets and seed give the same adapter."""
    key = "\x1f".join((_identity(backbone), str(rank), *targets, str(seed), str(_STRENGTH)))
    folder = cache_root() / "adapters" / hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        model = _peft_model(backbone, rank, targets)
        for name in missing:
            made(folder / name, lambda draft, name=name: _write(model, name, seed, draft))
    return {name: folder / name for name in names}


def _identity(backbone: Path) -> str:
    return f"{backbone.resolve()}\n{(backbone / 'config.json').read_text(encoding='utf-8')}"


def _peft_model(backbone: Path, rank: int, targets: Sequence[str]) -> Any:
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415
    from transformers import LlamaForCausalLM  # noqa: PLC0415

    model = LlamaForCausalLM.from_pretrained(backbone)
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    return get_peft_model(model, settings)


def _write(model: Any, name: str, seed: int, draft: Path) -> None:
    import torch  # noqa: PLC0415

    from workloads.streams import stream  # noqa: PLC0415

    with torch.no_grad():
        for path, module in model.named_modules():
            if not hasattr(module, "lora_A"):
                continue
            down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
            key = int(stream(seed, name, path).integers(2**62))
            generator = torch.Generator().manual_seed(key)
            down.copy_(torch.randn(down.shape, generator=generator))
            up.copy_(torch.randn(up.shape, generator=generator))
            change = (up @ down).norm() * module.scaling["default"]
            up.mul_(_STRENGTH * module.base_layer.weight.norm() / change)
    model.save_pretrained(draft)
