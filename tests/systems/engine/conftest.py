"""A tiny backbone with adapters, and transformers + peft to say what they should answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.engine.adapter import load_adapter
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.engine import Engine
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters, ensure_backbone

NAMES = ("a0", "a1", "a2", "a3")


@pytest.fixture(scope="session")
def tiny() -> Path:
    return ensure_backbone("tiny")


@pytest.fixture(scope="session")
def adapters(tiny: Path) -> dict[str, Path]:
    return ensure_adapters(tiny, NAMES, rank=8)


@pytest.fixture(scope="session")
def layout(tiny: Path) -> BackboneLayout:
    return plan_layout(tiny, "float32")


@pytest.fixture(scope="session")
def weights(tiny: Path, layout: BackboneLayout) -> BackboneWeights:
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    return BackboneWeights.from_buffer(layout, buffer)


MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(
    layout: BackboneLayout, weights: BackboneWeights, adapters: dict[str, Path]
) -> MakeEngine:
    def make(adapter: str | None = None, batch: int = 8, context: int = 256) -> Engine:
        loaded = load_adapter(adapters[adapter], layout.config, "float32") if adapter else None
        return Engine(
            layout.config, weights, loaded, max_batch_size=batch, max_context_tokens=context
        )

    return make


class Oracle:
    """transformers + peft, greedily, on padded batches."""

    def __init__(self, backbone: Path, adapter: Path | None) -> None:
        from peft import PeftModel
        from transformers import LlamaForCausalLM

        model: Any = LlamaForCausalLM.from_pretrained(backbone, dtype=torch.float32)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, str(adapter))
        self.model = model.eval()

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """Greedy continuations, prompts padded on the left."""
        ids, mask = pad(prompts, left=True)
        out = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return [row[ids.shape[1] :].tolist() for row in out]

    @torch.inference_mode()
    def first_tokens(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """The token after each prompt, prompts padded on the right."""
        ids, mask = pad(prompts, left=False)
        logits = self.model(input_ids=ids, attention_mask=mask).logits
        return [int(logits[i, len(p) - 1].argmax()) for i, p in enumerate(prompts)]


def pad(prompts: Sequence[Sequence[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    rows, masks = [], []
    for prompt in prompts:
        gap = [0] * (longest - len(prompt))
        seen = [1] * len(prompt)
        rows.append(gap + list(prompt) if left else list(prompt) + gap)
        masks.append(gap + seen if left else seen + gap)
    return torch.tensor(rows), torch.tensor(masks)


@pytest.fixture(scope="session")
def oracles(tiny: Path, adapters: dict[str, Path]) -> dict[str | None, Oracle]:
    return {None: Oracle(tiny, None), **{n: Oracle(tiny, p) for n, p in adapters.items()}}
