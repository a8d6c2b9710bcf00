"""Every function answers by its own skill, in processes of its own and in batches across functions:
a wrong adapter is a wrong answer that a person would see. (Tenants: test_shared_instances.py.)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from systems.interface import Limits, RequestTrace
from systems.models.skills import Question, skills
from tests.deployments import skilled_deployment

from .conftest import Running

pytestmark = pytest.mark.live
EACH = 2
PLACES = 3
"""Fewer than skills, so that adapters are replaced."""


def asked_at(running: Running, questions: Mapping[str, list[Question]]) -> list[tuple[str, bool]]:
    """Ask all questions at the same time; return for each its skill and whether the answer is
    right."""

    async def ask(session: aiohttp.ClientSession, name: str, question: Question) -> Any:
        answer = await running.ask(session, name, prompt=question.prompt, max_tokens=24)
        assert answer["status"] == 200, answer
        return name, question.answered_by(answer["choices"][0]["text"])

    async def ask_all() -> list[tuple[str, bool]]:
        async with aiohttp.ClientSession() as session:
            pairs = [(name, each) for name, of_it in questions.items() for each in of_it]
            return await asyncio.gather(*(ask(session, *pair) for pair in pairs))

    return asyncio.run(ask_all())


@pytest.mark.parametrize("level", ["function", "backbone"])
def test_every_function_answers_by_its_own_skill(
    level: str,
    smollm2: Path,
    deploy: Callable[..., Running],
) -> None:
    skilled = skilled_deployment(Limits(max_batch_size=4, max_context_tokens=64, keep_alive_s=60))
    kept = ("functions", "backbones", "dtype", "devices", "limits")
    changes = {name: getattr(skilled, name) for name in kept}
    running = deploy(
        isolation=level,
        options={"adapter_places": PLACES} if level != "function" else {},
        **changes,
    )
    questions = {name: skill.held_out(3, EACH) for name, skill in skills().items()}
    found = asked_at(running, questions)
    assert [name for name, right in found if not right] == []
    assert len(found) == EACH * len(questions)
    if level == "backbone":
        seen = running.system.system_trace().requests
        assert len({each.instance_id for each in seen}) == 1
        assert any(together(one, other) for one, other in combinations(seen, 2))


def together(one: RequestTrace, other: RequestTrace) -> bool:
    """Return whether two requests of different functions were computed at the same time."""
    first, second = one.spans[-1], other.spans[-1]
    overlap = first.start_ns < second.end_ns and second.start_ns < first.end_ns
    return one.function_id != other.function_id and overlap
