"""Make prompts, and run them on an engine or on the oracle."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import torch

from systems.engine.engine import Engine, GenerationRequest, TokenEvent

Prompt = tuple[int, ...]


def prompts(lengths: Sequence[int], vocabulary: int = 1024, seed: int = 0) -> list[Prompt]:
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist())
        for length in lengths
    ]


def request(number: int, prompt: Prompt, tokens: int, **more: Any) -> GenerationRequest:
    return GenerationRequest(number, prompt, tokens, **{"ignore_eos": True, **more})


def collect(answers: dict[int, list[int]], events: Sequence[TokenEvent]) -> None:
    for event in events:
        answers.setdefault(event.request_id, []).append(event.token_id)


def mixed(engine: Engine, only: Container[int]) -> list[TokenEvent]:
    """Return what a mixed pass produced; nothing if there was none."""
    found = engine.mix(only)
    return [*found.first, *found.further] if found else []


def drain(engine: Engine, answers: dict[int, list[int]]) -> None:
    while engine.running:
        collect(answers, engine.decode())


def answer(engine: Engine, batch: Sequence[Prompt], tokens: int, **more: Any) -> list[list[int]]:
    """Prefill all prompts as one batch, decode to the end, and return the tokens of each."""
    answers: dict[int, list[int]] = {}
    requests = [request(number, prompt, tokens, **more) for number, prompt in enumerate(batch)]
    collect(answers, engine.prefill(requests))
    drain(engine, answers)
    return [answers[number] for number in range(len(batch))]


@torch.inference_mode()
def left_padded(model: Any, batch: Sequence[Prompt], tokens: int) -> list[list[int]]:
    """Run transformers' ``generate`` on the batch, padded on the left."""
    width = max(map(len, batch))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in batch])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    answers: list[list[int]] = out[:, width:].tolist()
    return answers


@torch.inference_mode()
def right_padded(model: Any, batch: Sequence[Prompt], tokens: int) -> list[list[int]]:
    """Recompute the whole text for every token, padded on the right, without a KV cache."""
    texts = [list(prompt) for prompt in batch]
    for _ in range(tokens):
        width = max(map(len, texts))
        ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
        logits = model(input_ids=ids, attention_mask=mask).logits
        for row, text in enumerate(texts):
            text.append(int(logits[row, len(text) - 1].argmax()))
    return [text[len(prompt) :] for text, prompt in zip(texts, batch, strict=True)]
