"""A system serves backbones of every architecture at once, from mapped weights, and each function
answers with the tokens of transformers and peft."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from systems.interface import Function, Limits
from systems.runtime.http.text import Text
from tests.systems.engine.architectures.variants import Model, make
from tests.systems.engine.driving import left_padded, prompts

from .conftest import Running

pytestmark = [pytest.mark.live, pytest.mark.slow]
NAMES = ("mistral", "qwen2-window", "qwen3")
FORMS = ("all-linear", "ranks-by-pattern")
TOKENS = 6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("variants")
    return {name: make(name, folder) for name in NAMES}


def functions_of(models: dict[str, Model]) -> list[Function]:
    return [
        Function(id=f"{form}.{name}", backbone=name, adapter=model.adapters[form])
        for name, model in models.items()
        for form in FORMS
    ]


def expected(model: Model, form: str, prompt: tuple[int, ...]) -> str:
    (ids,) = left_padded(model.peft_model(form, "float32"), [prompt], TOKENS)
    decoder = Text(model.path).decoder(skip_special=False)
    return "".join(map(decoder.text, ids))


@pytest.mark.parametrize("level", ["function", "backbone"])
def test_each_function_answers_as_transformers_and_peft(
    level: str, models: dict[str, Model], deploy: Callable[..., Running]
) -> None:
    (prompt,) = prompts((70,))
    running = deploy(
        functions=tuple(functions_of(models)),
        backbones={name: model.path for name, model in models.items()},
        isolation=level,
        limits=Limits(max_context_tokens=128, request_timeout_s=280, threads_per_instance=1),
    )
    fields = {"prompt": list(prompt), "max_tokens": TOKENS, "ignore_eos": True}

    async def ask_all() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            asked = (
                running.ask(session, each.id, skip_special_tokens=False, **fields)
                for each in functions_of(models)
            )
            return await asyncio.gather(*asked)

    for each, answer in zip(functions_of(models), asyncio.run(ask_all()), strict=True):
        form, _, name = each.id.partition(".")
        assert answer["choices"][0]["text"] == expected(models[name], form, prompt), each.id
