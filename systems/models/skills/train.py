"""Trains the adapters of the skills: ``python -m systems.models.skills.train [NAME…]``.

Adapters and questions come from a seed: on one machine, with the same number of threads, a second
training gives the same files; other processors round differently.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..presets import ensure_backbone
from ..smollm2 import MODEL
from . import BACKBONE, Skill, skills
from .batches import Batches


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a skill is trained: AdamW, its rate rising over ``warmup`` steps, then falling to 0."""

    steps: int
    batch: int = 8
    seed: int = 0
    rate: float = 2e-3
    warmup: int = 10
    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    threads: int = 2

    def rate_at(self, step: int) -> float:
        """Return the factor on ``rate`` in a step."""
        return min(1.0, (step + 1) / self.warmup) * (1 - step / self.steps)


def train(skill: Skill, recipe: Recipe, model_dir: Path, folder: Path) -> None:
    """Train the skill's adapter and write it into ``folder``, with ``training.json``: the recipe
    and the seconds that it took."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    model, settings = _adapted(model_dir, recipe)
    began = time.monotonic()
    _fit(model, skill, recipe, Batches(model_dir))
    took = round(time.monotonic() - began)
    _save(model, settings, folder)
    document = {**asdict(recipe), "seconds": took}
    (folder / "training.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _fit(model: Any, skill: Skill, recipe: Recipe, batches: Batches) -> None:
    weights = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate_at)
    questions = skill.training(recipe.seed, recipe.steps * recipe.batch)
    for step in range(recipe.steps):
        drawn = questions[step * recipe.batch : (step + 1) * recipe.batch]
        loss = _loss(model, *batches.of(drawn))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        print(f"{skill.name} {step + 1}/{recipe.steps} loss {loss.item():.4f}", file=sys.stderr)


def _adapted(model_dir: Path, recipe: Recipe) -> tuple[Any, Any]:
    """Return the float32 model, wrapped by peft with an untrained adapter, and peft's settings."""
    from peft import LoraConfig, LoraModel
    from transformers import LlamaForCausalLM

    settings = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=MODEL,
    )
    model = LlamaForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    # Not get_peft_model: it uses an API that transformers has deprecated, which warns.
    return LoraModel(model, settings, "default"), settings


def _loss(wrapped: Any, ids: Tensor, learned: Tensor) -> Tensor:
    """Compute logits at the positions before the learned tokens only: most of the work of a small
    model is in them."""
    hidden = wrapped.model.model(input_ids=ids).last_hidden_state
    logits = wrapped.model.lm_head(hidden[:, :-1][learned[:, 1:]])
    return cross_entropy(logits, ids[:, 1:][learned[:, 1:]])


def _save(wrapped: Any, settings: Any, folder: Path) -> None:
    """Save as bfloat16, the dtype in which the backbone is served."""
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    tensors = {
        f"base_model.{name}": each.detach().to(torch.bfloat16).contiguous()
        for name, each in sorted(state.items())
    }
    folder.mkdir(parents=True, exist_ok=True)
    settings.inference_mode = True
    settings.save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def main(names: Sequence[str]) -> None:
    found = skills()
    model_dir = ensure_backbone(BACKBONE)
    for name in names or found:
        train(found[name], Recipe(found[name].steps), model_dir, found[name].packaged)


if __name__ == "__main__":
    main(sys.argv[1:])
