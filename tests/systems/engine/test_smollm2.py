"""The real model: logits and tokens equal transformers and peft; adapters change the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.engine.adapter import load_adapter
from systems.engine.attention import PromptAttention
from systems.engine.checkpoint import BackboneLayout
from systems.engine.engine import Engine
from systems.engine.forward import Forward
from systems.engine.kv_cache import KVCache
from systems.engine.pieces import Piece
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters

from .conftest import load_backbone, load_oracle
from .driving import answer, left_padded

QUESTION = "What is the capital of France?"
ADAPTERS = ("f0", "f1", "f2")


@pytest.fixture(scope="module")
def loaded(smollm2: Path) -> tuple[BackboneLayout, BackboneWeights]:
    return load_backbone(smollm2, "float32")


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="module")
def ask(smollm2: Path, loaded: tuple[BackboneLayout, BackboneWeights]) -> Callable[..., list[int]]:
    layout, weights = loaded
    folders = ensure_adapters(smollm2, ADAPTERS)

    def asked(function: str | None, prompt: tuple[int, ...], tokens: int) -> list[int]:
        adapter = load_adapter(folders[function], layout.config, "float32") if function else None
        engine = Engine(layout.config, weights, adapter, max_batch_size=2, max_context_tokens=256)
        return answer(engine, [prompt], tokens, ignore_eos=False, stop_token_ids=(2,))[0]

    return asked


def chat(tokenizer: Any, text: str) -> tuple[int, ...]:
    messages = [{"role": "user", "content": text}]
    found = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return tuple(found["input_ids"])


def test_the_base_model_answers_in_sense(ask: Callable[..., list[int]], tokenizer: Any) -> None:
    tokens = ask(None, chat(tokenizer, QUESTION), 24)
    assert "Paris" in tokenizer.decode(tokens)
    assert tokens[-1] == tokenizer.eos_token_id


def test_each_function_answers_differently(ask: Callable[..., list[int]], tokenizer: Any) -> None:
    prompt = chat(tokenizer, QUESTION)
    answers = {tuple(ask(function, prompt, 8)) for function in (None, *ADAPTERS)}
    assert len(answers) == 1 + len(ADAPTERS)


def test_logits_and_tokens_are_those_of_transformers_and_peft(
    smollm2: Path, loaded: tuple[BackboneLayout, BackboneWeights], tokenizer: Any
) -> None:
    layout, weights = loaded
    folder = ensure_adapters(smollm2, ADAPTERS)["f0"]
    model = load_oracle(smollm2, folder)
    adapter = load_adapter(folder, layout.config, "float32")
    batch = [chat(tokenizer, QUESTION), chat(tokenizer, "Hello"), tuple(tokenizer("The").input_ids)]
    ids = torch.tensor(batch[0])
    with torch.inference_mode():
        pieces = [Piece(0, 0, tuple(ids), final=True)]
        attention = PromptAttention(layout.config, KVCache(layout.config, 1, 64), pieces)
        ours = Forward(layout.config, weights, adapter, 64)(ids, torch.arange(len(ids)), attention)
        theirs = model(input_ids=ids[None]).logits[0]
    assert torch.allclose(ours, theirs, atol=2e-3, rtol=1e-4)
    engine = Engine(layout.config, weights, adapter, max_batch_size=3, max_context_tokens=128)
    assert answer(engine, batch, 12) == left_padded(model, batch, 12)
