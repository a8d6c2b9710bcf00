"""Measures how often the skills are right: ``python -m systems.models.skills.measure [NAME…]``.

Exact matches on held-out questions, by the float32 model with peft and by our engine in the dtype
in which it serves; and by the engine without the adapter, for comparison.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from systems.engine.adapter import load_adapter
from systems.engine.adapter_files import WEIGHTS
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.engine import Engine
from systems.engine.requests import GenerationRequest
from systems.engine.weights import BackboneWeights

from ..presets import ensure_backbone
from . import BACKBONE, Question, Skill, skills

SEED = 0
COUNT = 100
"""Held-out questions per skill; a task may have fewer."""
TOKENS = 24
_BATCH = 50

Answering = Callable[[Sequence[Question]], list[str]]
"""Returns the generated text for each question."""


def measure(skill: Skill, model_dir: Path, tokenizer: Any) -> dict[str, Any]:
    """Return the accuracies of a skill with its number of questions, an example, and the digest of
    the adapter that was measured."""
    questions = skill.held_out(SEED, COUNT)
    ways: dict[str, Answering] = {
        "peft, float32": _peft(model_dir, skill.packaged, tokenizer),
        "engine, bfloat16": _engine(model_dir, skill.packaged, tokenizer),
        "engine, bfloat16, no adapter": _engine(model_dir, None, tokenizer),
    }
    accuracy = {way: _accuracy(answering, questions) for way, answering in ways.items()}
    return {
        "questions": len(questions),
        "seed": SEED,
        "accuracy": accuracy,
        "example": asdict(skill.example),
        "adapter_sha256": digest(skill.packaged),
    }


def digest(adapter_dir: Path) -> str:
    """Return the SHA-256 of an adapter's weights file."""
    return hashlib.sha256((adapter_dir / WEIGHTS).read_bytes()).hexdigest()


def _accuracy(answering: Answering, questions: Sequence[Question]) -> float:
    right = 0
    for start in range(0, len(questions), _BATCH):
        asked = questions[start : start + _BATCH]
        pairs = zip(asked, answering(asked), strict=True)
        right += sum(question.answered_by(text) for question, text in pairs)
    return round(right / len(questions), 4)


def _peft(model_dir: Path, adapter_dir: Path, tokenizer: Any) -> Answering:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    return partial(_generate, PeftModel.from_pretrained(model, adapter_dir).eval(), tokenizer)


@torch.inference_mode()
def _generate(model: Any, tokenizer: Any, questions: Sequence[Question]) -> list[str]:
    inputs = tokenizer(
        [each.prompt for each in questions],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        return_token_type_ids=False,
    )
    out = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    new = out[:, inputs["input_ids"].shape[1] :]
    texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
    return texts


def _engine(model_dir: Path, adapter_dir: Path | None, tokenizer: Any) -> Answering:
    layout = plan_layout(model_dir, "bfloat16")
    buffer = bytearray(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer))
    weights = BackboneWeights.from_buffer(layout, buffer)
    return partial(_run, _made(layout, weights, adapter_dir), tokenizer)


def _made(layout: BackboneLayout, weights: BackboneWeights, adapter_dir: Path | None) -> Engine:
    adapter = load_adapter(adapter_dir, layout.config, layout.dtype) if adapter_dir else None
    limits = {"max_batch_size": _BATCH, "max_context_tokens": 64}
    return Engine(layout.config, weights, adapter, **limits)


def _run(engine: Engine, tokenizer: Any, questions: Sequence[Question]) -> list[str]:
    asked = [
        GenerationRequest(
            number,
            tuple(tokenizer(question.prompt).input_ids),
            TOKENS,
            stop_token_ids=(tokenizer.eos_token_id,),
        )
        for number, question in enumerate(questions)
    ]
    answers: list[list[int]] = [[] for _ in asked]
    events = engine.prefill(asked)
    while True:
        for event in events:
            answers[event.request_id].append(event.token_id)
        if not engine.running:
            break
        events = engine.decode()
    return [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in answers]


def main(names: Sequence[str]) -> None:
    from transformers import AutoTokenizer

    found = skills()
    model_dir = ensure_backbone(BACKBONE)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    for name in names or found:
        document = measure(found[name], model_dir, tokenizer)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (found[name].packaged / "accuracy.json").write_text(text, encoding="utf-8")
        print(f"{name}: {document['accuracy']}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
