"""Every architecture on the card, with CUDA graphs, gives the logits of transformers and peft: in
float32 also the tokens, in half precision close to those of the same weights in float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from tests.systems.engine.architectures.matrix import EQUAL, verdicts
from tests.systems.engine.architectures.traced import compared, requests, run
from tests.systems.engine.architectures.variants import VARIANTS, Model, make
from tests.systems.engine.architectures.ways import CARD, LEVELS, WAYS, Loaded

CLOSE = {"float16": 0.05, "bfloat16": 0.4}
"""Of the logits' standard deviation, about three times what plain torch differs by on cores: each
sum is rounded to 11 or 8 bits."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    torch.backends.cuda.matmul.allow_tf32 = False
    folder = tmp_path_factory.mktemp("variants")
    return cache(lambda name: make(name, folder))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_tokens_are_those_of_transformers_and_peft(
    name: str, level: str, model: Callable[[str], Model]
) -> None:
    loaded = Loaded.of(model(name), device="cuda")
    assert set(verdicts(level, CARD, loaded).values()) == {EQUAL}


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", ["qwen2-window", "qwen3"])
def test_logits_in_half_precision_are_close(
    name: str, dtype: str, model: Callable[[str], Model]
) -> None:
    """With adapters mixed in a batch; test_published_shapes.py has the widths of real models."""
    asked, loaded = requests(), Loaded.of(model(name), dtype, "cuda")
    found = compared(run(WAYS["tenant and backbone", CARD], loaded, asked), asked, loaded)
    assert all(each.furthest < CLOSE[dtype] for each in found.values()), found
