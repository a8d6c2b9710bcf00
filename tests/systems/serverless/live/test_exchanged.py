"""An adapter that changed since deployment, or is not finite, is refused; others still run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from safetensors.torch import load_file, save_file

from systems.interface import Deployment
from systems.models import ensure_adapters

from .conftest import Running

pytestmark = pytest.mark.live
WEIGHTS = "adapter_model.safetensors"


def test_an_exchanged_adapter_and_one_of_no_numbers_are_refused_and_others_served(
    deploy: Callable[..., Running], deployment: Deployment, tiny: Path, tmp_path: Path
) -> None:
    folders = {}
    for function in deployment.functions:
        assert function.adapter is not None
        folders[function.id] = shutil.copytree(function.adapter, tmp_path / function.id)
    weights = load_file(folders["f1"] / WEIGHTS)
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, folders["f1"] / WEIGHTS)
    functions = [
        each.model_copy(update={"adapter": folders[each.id]}) for each in deployment.functions
    ]
    running = deploy(functions=tuple(functions))
    larger = ensure_adapters(tiny, ["f0"], rank=64)["f0"]
    for file in larger.iterdir():
        shutil.copy(file, folders["f0"])

    async def ask() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            return [await running.ask(session, name) for name in ("f0", "f1", "f2")]

    exchanged, no_numbers, good = asyncio.run(ask())
    assert exchanged["status"] == 503
    assert "changed since it was deployed" in exchanged["error"]["message"]
    assert no_numbers["status"] == 503
    assert "values that are not finite numbers" in no_numbers["error"]["message"]
    assert good["status"] == 200
