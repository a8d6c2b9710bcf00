"""Compare the engine with transformers + peft on the same weights, adapter, prompts and threads.

Run with ``pytest tests/benchmarks/test_engine.py --benchmark-enable``, on an idle machine only.
Compare the rows of a group with each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.engine.adapter import load_adapter
from systems.engine.engine import Engine, GenerationRequest
from systems.models import ensure_adapters
from tests.systems.engine.conftest import load_backbone
from tests.torch_threads import torch_threads

PROMPT_TOKENS, STEPS = 128, 16
THREADS = min(2, len(os.sched_getaffinity(0)))
BATCHES = (1, 4, 8)
DTYPES = ("float32", "bfloat16")

Benchmark = Any
Prompts = list[list[int]]


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    with torch_threads(THREADS):
        yield


@pytest.fixture(scope="module")
def adapter(backbone: Path) -> Path:
    return ensure_adapters(backbone, ["f0"])["f0"]


class Ours:
    """Runs our engine; a session is an engine after its prefill."""

    def __init__(self, backbone: Path, adapter: Path, dtype: str) -> None:
        layout, weights = load_backbone(backbone, dtype)
        self._engine = Engine(
            layout.config,
            weights,
            load_adapter(adapter, layout.config, dtype),
            max_batch_size=max(BATCHES),
            max_context_tokens=PROMPT_TOKENS + STEPS + 2,
        )

    def start(self, prompts: Prompts) -> Callable[[], object]:
        for running in self._engine.running:
            self._engine.cancel(running)
        self._engine.prefill(
            [
                GenerationRequest(number, tuple(prompt), STEPS + 2, ignore_eos=True)
                for number, prompt in enumerate(prompts)
            ]
        )
        return self._engine.decode


class Theirs:
    """Runs transformers' model with peft's adapter and its dynamic cache. Decodes greedily without
    ``generate``, to exclude its overhead per step."""

    def __init__(self, backbone: Path, adapter: Path, dtype: str) -> None:
        from peft import PeftModel
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(backbone, dtype=getattr(torch, dtype))
        self._model: Any = PeftModel.from_pretrained(model, adapter).eval()

    @torch.inference_mode()
    def start(self, prompts: Prompts) -> Callable[[], object]:
        state = self._step(torch.tensor(prompts), None)

        def step() -> None:
            nonlocal state
            state = self._step(*state)

        return step

    @torch.inference_mode()
    def _step(self, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        out = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values


@pytest.fixture(scope="module", params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[Ours, Theirs], ids=["ours", "transformers+peft"])
def side(
    request: pytest.FixtureRequest, backbone: Path, adapter: Path, dtype: str
) -> Ours | Theirs:
    made: Ours | Theirs = request.param(backbone, adapter, dtype)
    return made


def prompts(batch: int) -> Prompts:
    generator = torch.Generator().manual_seed(batch)
    found: Prompts = torch.randint(3, 1024, (batch, PROMPT_TOKENS), generator=generator).tolist()
    return found


def _only_where_measured(batch: int, benchmark: Benchmark) -> None:
    """Skip larger batches if nothing is measured: they run the same code as a batch of one."""
    if benchmark.disabled and batch > 1:
        pytest.skip("nothing is measured")


@pytest.mark.parametrize("batch", BATCHES)
def test_time_to_first_token(
    batch: int, side: Ours | Theirs, dtype: str, benchmark: Benchmark
) -> None:
    _only_where_measured(batch, benchmark)
    benchmark.group = f"prefill {PROMPT_TOKENS} tokens, batch {batch}, {dtype}, {THREADS} threads"
    benchmark.pedantic(side.start, args=(prompts(batch),), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("batch", BATCHES)
def test_time_per_token(batch: int, side: Ours | Theirs, dtype: str, benchmark: Benchmark) -> None:
    _only_where_measured(batch, benchmark)
    benchmark.group = f"decode step, batch {batch}, {dtype}, {THREADS} threads"
    benchmark.pedantic(side.start(prompts(batch)), rounds=STEPS, warmup_rounds=1)
