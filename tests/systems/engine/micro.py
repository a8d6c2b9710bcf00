"""A Llama of a few thousand weights, and adapters that peft makes for it: fast enough for many
random settings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LAYERS, VOCABULARY = 3, 64
CONFIG = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def make_model(folder: Path) -> Path:
    """Save a random model with grouped-query attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**CONFIG)).save_pretrained(folder)
    return folder


def make_adapter(model: Path, folder: Path, **settings: Any) -> Path:
    """Let peft make an adapter of random values, B included, and save it."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    given = {"init_lora_weights": False, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(LlamaForCausalLM.from_pretrained(model), LoraConfig(**given))
        wrapped.save_pretrained(folder)
    return folder


@torch.inference_mode()
def logits_of(oracle: Any, ids: Sequence[int]) -> Tensor:
    """Return the logits of transformers' model at every position."""
    found: Tensor = oracle(input_ids=torch.tensor([list(ids)])).logits[0]
    return found
