"""Every architecture gives the logits and tokens of transformers and peft, in float32: prompts of
mixed lengths, in pieces and together, steps with a KV cache, several adapters in one batch, for the
engine of every isolation level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from systems.engine.architectures.architecture import Architecture
from systems.engine.architectures.registry import ARCHITECTURES
from systems.engine.architectures.windows import everywhere, nowhere

from .forms import NONE
from .matrix import EQUAL, NOT_RUN, recorded, unmeasured, verdicts
from .traced import EXACT, compared, requests, run
from .variants import VARIANTS, Model, make
from .ways import CARD, CORES, LEVELS, WAYS, Loaded


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    folder = tmp_path_factory.mktemp("variants")
    return cache(lambda name: make(name, folder))


@pytest.fixture(scope="module")
def loaded(model: Callable[[str], Model]) -> Callable[[str], Loaded]:
    return cache(lambda name: Loaded.of(model(name)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", VARIANTS)
def test_on_cores_logits_and_tokens_are_those_of_transformers_and_peft(
    name: str, level: str, loaded: Callable[[str], Loaded]
) -> None:
    assert verdicts(level, CORES, loaded(name)) == recorded()["cores"][level][name]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", VARIANTS)
def test_so_are_those_of_the_engine_for_a_device(
    name: str, level: str, loaded: Callable[[str], Loaded]
) -> None:
    assert set(verdicts(level, CARD, loaded(name)).values()) == {EQUAL}


def test_the_record_has_every_cell_and_all_that_were_run_are_equal() -> None:
    found, wanted = recorded(), unmeasured()
    for device, levels in wanted.items():
        for level, names in levels.items():
            for name, forms in names.items():
                cells = found[device][level][name]
                assert cells.keys() == forms.keys()
                assert set(cells.values()) <= {EQUAL, NOT_RUN}


Plant = Callable[[Architecture], Architecture]
ADAPTED = "all-linear"


def _in_window(key: str, by: int) -> Plant:
    """Return a bug that adds ``by`` to a field of the window."""

    def plant(right: Architecture) -> Architecture:
        def window(fields: Mapping[str, Any]) -> Mapping[str, Any]:
            found = right.window(fields)
            assert found is not None
            return {**found, key: found[key] + by}

        return replace(right, window=window)

    return plant


def _with(**wrong: Any) -> Plant:
    return lambda right: replace(right, **wrong)


PLANTED: dict[str, tuple[str, Plant]] = {
    "no bias": ("qwen2", _with(qkv_bias=False)),
    "no norm": ("qwen3", _with(qk_norm=False)),
    "window one too wide": ("mistral", _in_window("sliding_window", 1)),
    "window one too narrow": ("mistral", _in_window("sliding_window", -1)),
    "no window": ("mistral", _with(window=nowhere)),
    "window one layer later": ("qwen2-window", _in_window("max_window_layers", 1)),
    "window in every layer": ("qwen3-window", _with(window=everywhere)),
}


@pytest.mark.parametrize("way", WAYS, ids=" on ".join)
@pytest.mark.parametrize("bug", PLANTED)
def test_a_bug_in_the_description_is_caught(
    bug: str, way: tuple[str, str], model: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, plant = PLANTED[bug]
    model_type, _, _ = name.partition("-")
    every = model(name)
    right = replace(every, adapters={ADAPTED: every.adapters[ADAPTED]})
    monkeypatch.setitem(ARCHITECTURES, model_type, plant(ARCHITECTURES[model_type]))
    asked, wrong = requests((NONE, ADAPTED)), Loaded.of(right)
    found = compared(run(WAYS[way], wrong, asked), asked, wrong)
    assert all(each.furthest > 100 * EXACT for each in found.values())
