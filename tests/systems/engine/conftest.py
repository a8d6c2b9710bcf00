"""Fixtures: the tiny preset, its adapters, and the oracle (transformers and peft)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights
from systems.models import ensure_adapters
from tests.torch_threads import torch_threads

ADAPTERS = tuple(f"f{index}" for index in range(8))
FUNCTIONS = (None, *ADAPTERS)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def adapters(tiny: Path) -> dict[str, Path]:
    return ensure_adapters(tiny, ADAPTERS)


def load_backbone(model_dir: Path, dtype: str) -> tuple[BackboneLayout, BackboneWeights]:
    layout = plan_layout(model_dir, dtype)
    buffer = bytearray(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer))
    return layout, BackboneWeights.from_buffer(layout, buffer)


@pytest.fixture(scope="session")
def backbone(tiny: Path) -> tuple[BackboneLayout, BackboneWeights]:
    return load_backbone(tiny, "float32")


def pack_all(
    paths: Mapping[str, Path], layout: BackboneLayout, rank: int | None = None
) -> tuple[SlotShape, dict[str, Tensor]]:
    """Pack adapters for one shape, in the dtype that the CPU computes with. ``rank``: of the shape;
    None: the largest."""
    stored = {name: read_adapter(path, layout.config) for name, path in paths.items()}
    targets = {target for adapter in stored.values() for target in adapter.targets}
    most = rank or max(adapter.rank for adapter in stored.values())
    shape = SlotShape.of(layout.config, most, targets, torch.float32)
    return shape, {name: pack(adapter, shape) for name, adapter in stored.items()}


@pytest.fixture(scope="session")
def make_engine(
    backbone: tuple[BackboneLayout, BackboneWeights], adapters: dict[str, Path]
) -> Callable[..., Engine]:
    layout, weights = backbone

    def make(function: str | Path | None = None, **limits: int) -> Engine:
        path = adapters[function] if isinstance(function, str) else function
        adapter = load_adapter(path, layout.config, layout.dtype) if path else None
        bounds = {"max_batch_size": 8, "max_context_tokens": 128, **limits}
        return Engine(layout.config, weights, adapter, **bounds)

    return make


def load_oracle(model_dir: Path, adapter: Path | None = None, rounded: str = "float32") -> Any:
    """Load transformers' model in float32, with the adapter applied by peft. ``rounded``: dtype to
    which the weights of the backbone are rounded first."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=getattr(torch, rounded)).float()
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()


@pytest.fixture(scope="session")
def oracle(tiny: Path, adapters: dict[str, Path]) -> Callable[[str | None], Any]:
    @cache
    def of(function: str | None) -> Any:
        return load_oracle(tiny, adapters[function] if function else None)

    return of
