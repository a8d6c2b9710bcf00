"""The engine returns the tokens of transformers and peft, for any batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.engine.engine import Engine

from .conftest import FUNCTIONS, load_backbone, load_oracle
from .driving import (
    answer,
    collect,
    drain,
    left_padded,
    prompts,
    request,
    right_padded,
)

LENGTHS = (7, 1, 33, 2, 64, 12, 1, 25)
TOKENS = 16
COMPARED = (None, "f0", "f1")
"""The adapters differ in their numbers only."""

MakeEngine = Callable[..., Engine]
Oracle = Callable[[str | None], Any]


@pytest.mark.parametrize("function", COMPARED, ids=str)
def test_every_batch_size_gives_the_tokens_of_left_padded_generate(
    function: str | None, make_engine: MakeEngine, oracle: Oracle
) -> None:
    batch = prompts(LENGTHS)
    expected = left_padded(oracle(function), batch, TOKENS)
    engine = make_engine(function)
    for size in range(1, len(batch) + 1):
        assert answer(engine, batch[:size], TOKENS) == expected[:size]


@pytest.mark.parametrize("function", COMPARED, ids=str)
def test_tokens_are_those_of_right_padded_passes_without_a_cache(
    function: str | None, make_engine: MakeEngine, oracle: Oracle
) -> None:
    batch = prompts(LENGTHS, seed=1)
    assert answer(make_engine(function), batch, 8) == right_padded(oracle(function), batch, 8)


def test_each_function_answers_in_its_own_way(make_engine: MakeEngine) -> None:
    batch = prompts((20,))
    answers = {tuple(answer(make_engine(function), batch, TOKENS)[0]) for function in FUNCTIONS}
    assert len(answers) == len(FUNCTIONS)


@pytest.mark.parametrize("function", [None, "f0"], ids=str)
def test_requests_that_join_in_the_middle_change_nobodys_tokens(
    function: str | None, make_engine: MakeEngine, oracle: Oracle
) -> None:
    batch = prompts(LENGTHS)
    engine = make_engine(function)
    answers: dict[int, list[int]] = {}
    for number, prompt in enumerate(batch):
        collect(answers, engine.prefill([request(number, prompt, TOKENS)]))
        for _ in range(number % 3):
            collect(answers, engine.decode())
    drain(engine, answers)
    expected = left_padded(oracle(function), batch, TOKENS)
    assert [answers[number] for number in range(len(batch))] == expected


def test_requests_that_end_or_are_cancelled_change_nobodys_tokens(
    make_engine: MakeEngine, oracle: Oracle
) -> None:
    batch = prompts(LENGTHS)
    wanted = [TOKENS, 1, 5, TOKENS, 3, TOKENS, 2, TOKENS]
    engine = make_engine("f1")
    answers: dict[int, list[int]] = {}
    requests = [request(n, p, wanted[n]) for n, p in enumerate(batch)]
    collect(answers, engine.prefill(requests))
    for _ in range(3):
        collect(answers, engine.decode())
    assert engine.cancel(0)
    assert not engine.cancel(0)
    drain(engine, answers)
    expected = left_padded(oracle("f1"), batch, TOKENS)
    assert answers[0] == expected[0][:4]
    for number in range(1, len(batch)):
        assert answers[number] == expected[number][: wanted[number]]


def test_an_adapter_of_every_projection_and_rslora(
    tiny: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    targets = ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    settings = LoraConfig(
        r=4, lora_alpha=6, use_rslora=True, target_modules=targets, init_lora_weights=False
    )
    get_peft_model(LlamaForCausalLM.from_pretrained(tiny), settings).save_pretrained(tmp_path)
    batch = prompts((9, 30))
    expected = left_padded(load_oracle(tiny, tmp_path), batch, TOKENS)
    assert answer(make_engine(tmp_path), batch, TOKENS) == expected
    assert expected != answer(make_engine(), batch, TOKENS)


def test_llama3_rope_scaling(tiny: Path, tmp_path: Path) -> None:
    import json
    import shutil

    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    config = json.loads((model / "config.json").read_text())
    config["rope_parameters"] = {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    (model / "config.json").write_text(json.dumps(config))
    layout, weights = load_backbone(model, "float32")
    engine = Engine(layout.config, weights, None, max_batch_size=2, max_context_tokens=128)
    batch = prompts((40, 90))
    assert answer(engine, batch, 8) == left_padded(load_oracle(model), batch, 8)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_halves_stay_close_to_the_same_weights_widened(
    dtype: str, tiny: Path, adapters: dict[str, Path]
) -> None:
    from systems.engine.adapter import load_adapter
    from systems.engine.attention import PromptAttention, StepAttention
    from systems.engine.forward import Forward
    from systems.engine.kv_cache import KVCache
    from systems.engine.pieces import Piece

    layout, weights = load_backbone(tiny, dtype)
    model = load_oracle(tiny, adapters["f0"], rounded=dtype)
    forward = Forward(
        layout.config, weights, load_adapter(adapters["f0"], layout.config, dtype), 64
    )
    cache = KVCache(layout.config, 1, 64)
    ids = torch.tensor(prompts((20,))[0])
    with torch.inference_mode():
        expected = model(input_ids=ids[None]).logits[0]
        pieces = [Piece(0, 0, tuple(ids[:19].tolist()), final=True)]
        prompt = forward(ids[:19], torch.arange(19), PromptAttention(layout.config, cache, pieces))
        step = forward(ids[19:], torch.tensor([19]), StepAttention.at(layout.config, cache, [19]))
    spread = float(expected.std())
    assert float((prompt - expected[:19]).abs().max()) < 1e-4 * spread
    assert float((step - expected[19:]).abs().max()) < 0.1 * spread
