"""Every skill answers right with its own adapter in one batch of all skills, and only with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from systems.engine.cross import CrossEngine
from systems.models import ensure_skills
from systems.models.skills import Question, skills

from .conftest import load_backbone, pack_all
from .driving import collect, drain, request

EACH = 5
NAMES = tuple(skills())


@dataclass(frozen=True)
class Asked:
    """``adapter``: the function that gets the question; None: the backbone."""

    adapter: str | None
    question: Question


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> CrossEngine:
    layout, weights = load_backbone(smollm2, "bfloat16")
    shape, packed = pack_all(ensure_skills(smollm2), layout)
    limits = {"max_batch_size": EACH * len(NAMES), "max_context_tokens": 64}
    engine = CrossEngine(layout.config, weights, shape, len(packed), **limits)
    for name, flat in packed.items():
        engine.hold(name, flat)
    return engine


@pytest.fixture(scope="module")
def questions() -> Mapping[str, list[Question]]:
    return {name: skill.held_out(1, EACH) for name, skill in skills().items()}


def right(engine: CrossEngine, tokenizer: Any, asked: list[Asked]) -> list[bool]:
    """Ask all in one batch; return for each whether the answer is the right one."""
    tokens: dict[int, list[int]] = {}
    requests = [
        request(
            number,
            tuple(tokenizer(each.question.prompt).input_ids),
            18,
            adapter=each.adapter,
            ignore_eos=False,
            stop_token_ids=(tokenizer.eos_token_id,),
        )
        for number, each in enumerate(asked)
    ]
    collect(tokens, engine.prefill(requests))
    drain(engine, tokens)
    texts = [tokenizer.decode(tokens[n], skip_special_tokens=True) for n in range(len(asked))]
    return [each.question.answered_by(text) for each, text in zip(asked, texts, strict=True)]


def test_every_function_answers_by_its_own_skill_in_a_mixed_batch(
    engine: CrossEngine, tokenizer: Any, questions: Mapping[str, list[Question]]
) -> None:
    asked = [Asked(name, questions[name][n]) for n in range(EACH) for name in NAMES]
    assert all(right(engine, tokenizer, asked))


def test_without_its_own_adapter_no_question_is_answered(
    engine: CrossEngine, tokenizer: Any, questions: Mapping[str, list[Question]]
) -> None:
    others = dict(zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True))
    asked = [Asked(others[name], questions[name][0]) for name in NAMES]
    asked += [Asked(None, questions[name][0]) for name in NAMES]
    assert not any(right(engine, tokenizer, asked))
