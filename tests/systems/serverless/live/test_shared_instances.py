"""Functions that share instances: each is answered by its own adapter, whatever its form, and fails
alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from safetensors.torch import load_file, save_file

from systems.interface import Deployment, Function, MemoryOwner, RequestTrace, Stage, StartType
from systems.models import ensure_form
from systems.runtime.http.text import Text

from .conftest import Running
from .test_answers import expected_ids

pytestmark = pytest.mark.live
PROMPT, TOKENS = [5, 6, 7], 6
TENANTS = {"f0": "acme", "f1": "acme", "f2": "other", "f3": "other"}


FORMS = {"f0": "ranks-by-pattern", "f1": "some-layers", "f2": "by-regex", "f3": "half"}


@pytest.fixture
def mixed(deployment: Deployment) -> Deployment:
    """Functions of two tenants, with adapters of different forms."""

    def changed(function: Function) -> Function:
        made = ensure_form(deployment.backbones["tiny"], [function.id], FORMS[function.id], 8)
        changes = {"tenant": TENANTS[function.id], "adapter": made[function.id]}
        return function.model_copy(update=changes)

    return deployment.model_copy(update={"functions": tuple(map(changed, deployment.functions))})


def spoilt(function: Function, folder: Path) -> Function:
    """Return the function with a copy of its adapter in which one value is infinite."""
    assert function.adapter is not None
    copy = shutil.copytree(function.adapter, folder / function.id)
    weights = load_file(copy / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = float("inf")
    save_file(weights, copy / "adapter_model.safetensors")
    return function.model_copy(update={"adapter": copy})


def answers(running: Running, *models: str) -> list[Any]:
    """Ask all of ``models`` at the same time."""

    async def ask() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            told = {"prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True}
            each = (
                running.ask(session, model, skip_special_tokens=False, **told) for model in models
            )
            return await asyncio.gather(*each)

    return asyncio.run(ask())


def text_of(answer: Any) -> str:
    assert answer["status"] == 200, answer
    found: str = answer["choices"][0]["text"]
    return found


def expected(deployment: Deployment) -> dict[str, str]:
    """Return the answers by model, by the engine alone."""
    bare = Function(id="tiny", backbone="tiny")
    with_bare = deployment.model_copy(update={"functions": (*deployment.functions, bare)})
    text, found = Text(deployment.backbones["tiny"]), {}
    for model, ids in expected_ids(with_bare, PROMPT, TOKENS).items():
        decoder = text.decoder(skip_special=False)
        found[model] = "".join(map(decoder.text, ids))
    return found


def traces(running: Running) -> list[RequestTrace]:
    return [each for each in running.system.system_trace().requests if each.spans]


def held(running: Running) -> set[MemoryOwner]:
    return {each.owner for each in running.system.system_trace().memory}


def test_all_functions_of_a_backbone_share_an_instance_with_fewer_places(
    deploy: Callable[..., Running], mixed: Deployment, tmp_path: Path
) -> None:
    functions = list(mixed.functions)
    functions[3] = spoilt(functions[3], tmp_path)
    running = deploy(
        isolation="backbone",
        functions=tuple(functions),
        options={"adapter_places": 2, "backbones_at_deployment": True},
    )
    assert MemoryOwner.WEIGHTS in held(running), "the backbone is there before the first call"
    good = ("f0", "f1", "f2", "tiny")
    right = expected(mixed)
    found = answers(running, *good * 3, "f3")
    for model, answer in zip(good * 3, found[:-1], strict=True):
        assert text_of(answer) == right[model], model
    assert found[-1]["status"] == 503
    assert "f3: its adapter cannot be used" in found[-1]["error"]["message"]
    assert "not finite" in found[-1]["error"]["message"]
    assert len({each.instance_id for each in traces(running)}) == 1
    (again,) = answers(running, "f0")
    assert text_of(again) == right["f0"]


def test_tenants_share_no_instance_and_wait_for_their_own_adapters_only(
    deploy: Callable[..., Running], mixed: Deployment
) -> None:
    running = deploy(isolation="tenant", functions=mixed.functions)
    right = expected(mixed)
    for model in ("f0", "f2", "f1", "f3", "f1"):
        assert text_of(answers(running, model)[0]) == right[model]
    seen = traces(running)
    tenants = {each.instance_id: TENANTS[each.function_id] for each in seen}
    assert sorted(tenants.values()) == ["acme", "other"]
    assert all(tenants[each.instance_id] == TENANTS[each.function_id] for each in seen)
    assert [each.start_type for each in seen[2:]] == [
        StartType.WARM,
        StartType.WARM,
        StartType.HOT,
    ]
    waited = [{span.stage for span in each.spans} for each in seen]
    assert all(stages >= {Stage.ADAPTER} for stages in waited[2:4])
    assert Stage.ADAPTER not in waited[4]
    trace = running.system.system_trace()
    assert {each.function_id for each in trace.activity} == {"acme@tiny", "other@tiny"}
